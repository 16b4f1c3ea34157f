#!/bin/sh
# port_scanner PROGRAM: of ten thousand ports the one where a server of ours listens is found, and
# none but those of other programs; once it has ended it is closed. Few descriptors will do.
set -eu
. "$(dirname "$0")/testing.sh"

# Ports on which anybody listens now.
listeners() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        while read -r _ local _ state _; do
            [ "$state" != 0A ] || echo $((0x${local##*:}))
        done
}

start_server "$(dirname "$1")/task_echo"
half=5000
! grep -q __tsan_init "$1" || half=2500 # It refuses more than 8,128 stacks.
first=$((port - half))
[ "$first" -gt 1 ] || first=1
last=$((port + half))
[ "$last" -lt 65535 ] || last=65535
[ $((last - first)) -ge $((2 * half)) ] || first=$((last - 2 * half))
count=$((last - first + 1))

listeners >"$scratch/before"
timeout 50 "$1" 127.0.0.1 "$first-$last" 10000 >"$scratch/seen" 2>"$scratch/progress"
listeners >"$scratch/after"
grep -q "^$port open\$" "$scratch/seen" || fail "our port $port was not found:
$(cat "$scratch/seen")"
open=0
sed -n 's/ open$//p' "$scratch/seen" >"$scratch/open"
while read -r each; do
    open=$((open + 1))
    # Another program's, unless it was there for a moment only: then it is closed now.
    grep -q "^$each\$" "$scratch/before" "$scratch/after" ||
        timeout 20 "$1" 127.0.0.1 "$each-$each" 2>/dev/null | grep -q ': 0 open, 1 closed' ||
        fail "nobody listens on port $each"
done <"$scratch/open"
expect "the count" "127.0.0.1: $open open, $((count - open)) closed, 0 filtered" \
    "$(sed -n 's/ in [0-9.]* s$//p' "$scratch/seen")"
expect "the tasks" "$count tasks at once" "$(sed -n 's/, at most.*//p' "$scratch/seen")"
grep -q " of $count ports" "$scratch/progress" || fail "no progress was told"

# shellcheck disable=SC3045 # dash has it
ulimit -n 100
seen=$(timeout 50 "$1" 127.0.0.1 "$port-$((port + 300))" 10000 2>/dev/null)
expect "our port, with few descriptors" "$port open" "$(echo "$seen" | grep "^$port ")"
most=$(echo "$seen" | sed -n 's/.*at most \([0-9]*\) of them.*/\1/p')
[ "$most" -le 36 ] || fail "$most at a time, with 100 descriptors"

kill "$pid"
wait "$job" || true
expect "the port of a server that has ended" "127.0.0.1: 0 open, 1 closed, 0 filtered" \
    "$(timeout 20 "$1" 127.0.0.1 "$port-$port" 2>/dev/null | sed -n 's/ in [0-9.]* s$//p')"

expect "what is said of a name" "port_scanner: not a numeric address, a wildcard or localhost" \
    "$(timeout 20 "$1" nowhere.example 1-3 2>&1 | tail -n 1)"
code=0
timeout 20 "$1" 127.0.0.1 9-1 2>/dev/null || code=$?
expect "the code of a wrong range" 2 "$code"
