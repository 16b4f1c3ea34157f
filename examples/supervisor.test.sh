#!/bin/sh
# supervisor PROGRAM: starts again what ends; on SIGTERM asks, and kills what does not obey.
set -eu
. "$(dirname "$0")/testing.sh"

: >"$scratch/seen"
"$1" 'exit 3' 'exec sleep 1000' "trap '' TERM; echo deaf; exec sleep 1001" >"$scratch/seen" &
job=$!
servers=$job
count() { grep -c "$1" "$scratch/seen" || true; }
while [ "$(count 'ended 3 exit 3')" -lt 3 ] || [ "$(count '^deaf$')" -lt 1 ]; do
    kill -0 "$job" 2>/dev/null || fail "it has ended: $(cat "$scratch/seen")"
    sleep 0.05
done
expect "starts of the one that stays" 1 "$(count '^started exec sleep 1000$')"

kill -TERM "$job"
code=0
wait "$job" || code=$?
expect "the code" 0 "$code"
expect "the one that obeys" 1 "$(count '^ended -15 exec sleep 1000$')"
expect "the one that does not" 1 "$(count "^ended -9 trap '' TERM; echo deaf; exec sleep 1001$")"
