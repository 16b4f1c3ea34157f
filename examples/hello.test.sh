#!/bin/sh
# hello PROGRAM: two words, half a second apart; an interrupt in between leaves out the second.
set -eu
. "$(dirname "$0")/testing.sh"

begin=$(date +%s%N)
expect "both words" "hello
world" "$(timeout 20 "$1")"
end=$(date +%s%N)
[ $((end - begin)) -ge 500000000 ] || fail "it took only $((end - begin)) ns"

# Interrupted once it listens to that; the shell has its background ignore it.
env --default-signal=INT "$1" >"$scratch/seen" &
pid=$!
until [ "$(cat "/proc/$pid/comm")" = "$(basename "$1")" ] &&
    [ $((0x$(sed -n 's/^SigCgt:[^0-9a-f]*//p' "/proc/$pid/status") & 2)) != 0 ]; do
    kill -0 "$pid" || fail "it has ended before it could be interrupted"
done
kill -INT "$pid"
code=0
wait "$pid" || code=$?
expect "the code of an interrupted run" 1 "$code"
expect "what it said" "hello" "$(cat "$scratch/seen")"
