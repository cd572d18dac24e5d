# Run by sh on the host, for one program. It reads one line (what to run and how, quoted), and takes the end of its input
# for the order to end: a step that nobody waits for any more, a lost link and a dead engine all look like that. Lines that
# begin with a hash are not sent.
rollout_n="$(printf "\nx")"
rollout_n="${rollout_n%x}"
rollout_a="$(printf "\001")"
rollout_d="$(printf "\177")"
IFS= read -r rollout_line || exit 255
eval "set -- $rollout_line"
rollout_mark=$1 rollout_fence=$2 rollout_tenths=$3 rollout_limit=$4 rollout_leave=$5 rollout_feed=$6 rollout_vars=$7
shift 7
# The last words, in both outputs behind all that was printed: only they are proof that nothing of it is missing.
rollout_left=
finish() {
  printf "\n%s %s %s\n" "$rollout_mark" "$1" "$rollout_left"
  printf "\n%s %s %s\n" "$rollout_mark" "$1" "$rollout_left" >&2
  exit "$1"
}
while [ "$rollout_vars" -gt 0 ]; do
  export "$1"
  shift
  rollout_vars=$((rollout_vars - 1))
done
# A program that reads the rest of the input ends with it.
if [ -n "$rollout_feed" ]; then
  "$@"
  finish "$?"
fi

lives() { kill -s 0 -- "-$1" 2>/dev/null; }
# SIGTERM for a group, time to finish, SIGKILL. False if it is there still.
end() {
  kill -s TERM -- "-$1" 2>/dev/null
  kill -s CONT -- "-$1" 2>/dev/null
  rollout_i=0
  while lives "$1"; do
    [ "$rollout_i" -ne "$rollout_tenths" ] || kill -s KILL -- "-$1" 2>/dev/null
    [ "$rollout_i" -lt $((rollout_tenths + 50)) ] || return 1
    sleep 0.1
    rollout_i=$((rollout_i + 1))
  done
}
# The moment when a process was started, of its line in /proc.
born() {
  set -- ${1##*) }
  [ "$#" -lt 20 ] || shift 19
  echo "$1"
}

# One program at a time for a fence: what an earlier one left running is ended first. Else a step that was given up could
# take effect behind the back of the next one.
rollout_record=
if [ -n "$rollout_fence" ]; then
  rollout_dir="${HOME:?}/.local/state/rollout/steps"
  rollout_record="$rollout_dir/$rollout_fence"
  (umask 077; mkdir -p "$rollout_dir") && [ -w "$rollout_dir" ] || {
    echo "cannot write $rollout_dir, where it is kept what runs here; let this user own it" >&2
    finish 1
  }
  if { read -r rollout_old && read -r rollout_boot && read -r rollout_stat; } 2>/dev/null <"$rollout_record" &&
    [ "$rollout_boot" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ] && lives "$rollout_old"; then
    rollout_now="$(cat "/proc/$rollout_old/stat" 2>/dev/null)"
    if [ -z "$rollout_now" ] || [ "$(born "$rollout_now")" = "$(born "$rollout_stat")" ]; then
      end "$rollout_old" || {
        echo "an earlier step, process group $rollout_old, cannot be ended; end it with: kill -KILL -- -$rollout_old" >&2
        finish 1
      }
    fi
  fi
fi

exec 3<&0
rollout_gone=
trap "rollout_gone=1" USR1
setsid sh -c '
  [ -z "$1" ] || { echo "$$"; echo "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"; cat "/proc/$$/stat" 2>/dev/null || echo; } >"$1" || exit 1
  shift
  exec "$@"' rollout "$rollout_record" "$@" </dev/null 3<&- &
rollout_job=$!
# Runs something, then tells the script until it is gone.
tell() {
  (
    rollout_c=
    trap '[ -z "$rollout_c" ] || kill "$rollout_c" 2>/dev/null; exit' TERM
    "$@" <&3 3<&- &
    rollout_c=$!
    wait "$rollout_c"
    rollout_c=
    while kill -s USR1 "$$" 2>/dev/null; do sleep 1; done
  ) >/dev/null 2>&1 &
}
tell cat
rollout_eof=$!
tell sleep "$rollout_limit"
rollout_late=$!
exec 3<&-

wait "$rollout_job"
rollout_code=$?
trap "" USR1
if [ -n "$rollout_gone" ]; then
  end "$rollout_job"
  rollout_code=255
elif lives "$rollout_job"; then
  rollout_left=left
  [ -n "$rollout_leave" ] && [ "$rollout_code" -eq 0 ] || end "$rollout_job"
fi
kill "$rollout_eof" "$rollout_late" 2>/dev/null
[ -z "$rollout_record" ] || rm -f "$rollout_record"
finish "$rollout_code"
