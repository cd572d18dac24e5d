# What is true of one nginx now: its processes, their connections, its file. Nothing is changed.
# $1 the upstream file, $2 the pid file, then the addresses of servers as /proc/net/tcp writes them; without any, nobody asks
# for connections.
LC_ALL=C
export LC_ALL
file=$1 pid_file=$2
shift 2
echo "ticks $(getconf CLK_TCK 2>/dev/null || echo 100)"
read -r uptime rest </proc/uptime
echo "now $uptime $(date +%s.%N)"
# The 22nd field of all, without the first two.
born() { started=${20}; }
master=
if [ -r "$pid_file" ]; then read -r master <"$pid_file"; else echo "no pid file"; fi
case $master in *[!0-9]*) master= ;; esac
if [ -n "$master" ] && [ -r "/proc/$master/stat" ]; then
    workers=
    # Processes come and go meanwhile: one that is gone must not end this.
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        # The second field may have anything in it; the parent is the second one behind it.
        rest=${line##*) }
        rest=${rest#* }
        [ "${rest%% *}" != "$master" ] || workers="$workers ${line%% *}"
    done
    for pid in $master $workers; do
        { read -r line <"/proc/$pid/stat"; } 2>/dev/null || continue
        born ${line##*) }
        echo "process $pid $started $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
    done
    [ $# -eq 0 ] || {
        cat "/proc/$master/net/tcp" "/proc/$master/net/tcp6" 2>/dev/null
        for pid in $master $workers; do
            # One that was closed meanwhile is an error of no weight.
            sockets=$(ls -l "/proc/$pid/fd" 2>/dev/null)
            if [ -n "$sockets" ]; then
                echo "$sockets" | sed -n "s/^.*socket:\[\([0-9]*\)\]\$/socket $pid \1/p"
            elif [ -d "/proc/$pid" ]; then
                echo "hidden $pid"
            fi
        done
    } | awk -v wanted="$*" '
        BEGIN { n = split(wanted, w, " "); for (i = 1; i <= n; i++) asked[w[i]] = 1 }
        $1 == "hidden" { print; next }
        $1 == "socket" { owner[$3] = owner[$3] " " $2; next }
        # sl local remote state queues timer retransmits uid timeout inode
        $1 ~ /^[0-9]+:$/ && ($4 == "0A" || $4 == "01" || $4 == "02") {
            k++; at[k] = $2; sub(/^.*:/, "", at[k]); to[k] = $3; state[k] = $4; inode[k] = $10
        }
        END {
            for (i = 1; i <= k; i++) if (state[i] == "0A" && inode[i] in owner) listens[at[i]] = 1
            for (i = 1; i <= k; i++) {
                if (state[i] == "0A" || !(inode[i] in owner)) continue
                m = split(owner[inode[i]], pids, " ")
                for (j = 1; j <= m; j++) {
                    if (at[i] in listens) clients[pids[j]]++
                    else {
                        servers[pids[j]]++
                        if (to[i] in asked) count[pids[j] " " to[i]]++
                    }
                }
            }
            for (p in clients) print "clients " p " " clients[p]
            for (p in servers) print "servers " p " " servers[p]
            for (p in count) print "to " p " " count[p]
        }'
fi
if [ -r "$file" ]; then
    echo "file $(stat -c %.9Y "$file")"
    echo "text"
    cat "$file"
elif [ -e "$file" ]; then echo "file closed"; else echo "file missing"; fi
