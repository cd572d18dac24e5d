# Replaces a file in one step, if it still is what we read, and if a test then agrees; else the old one is put back.
# $1 the file, $2 what we read, $3 what it shall be, $4 the seconds to wait for the lock, then the test.
LC_ALL=C
export LC_ALL
file=$1 old=$2 new=$3 patience=$4
shift 4
exec 9>>"$file.lock" || exit 1
flock -w "$patience" 9 || { echo locked; exit 0; }
if [ "$(cat "$file"; echo .)" != "$old." ]; then echo changed; exit 0; fi
before=$file.before.$$ draft=$file.draft.$$
trap 'rm -f "$before" "$draft"' EXIT
trap '[ ! -e "$before" ] || mv -f "$before" "$file"; exit 1' TERM INT HUP
# Copies keep the owner and the mode; the old one its time, too.
cp -p "$file" "$draft" && printf '%s' "$new" >"$draft" && sync "$draft" || exit 1
cp -p "$file" "$before" && mv -f "$draft" "$file" || exit 1
if said=$("$@" 2>&1 9>&-); then
    rm -f "$before"
    echo swapped
else
    mv -f "$before" "$file"
    echo refused
    printf '%s\n' "$said"
fi
