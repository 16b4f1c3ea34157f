#!/bin/sh
# producer_consumer PROGRAM: every job is done once and in order, with any number of them; a
# consumer that fails ends it all, and a leak check at exit has nothing to say.
set -eu
. "$(dirname "$0")/testing.sh"

expect "six jobs" "1
2
3
4
5
6" "$(timeout 20 "$1" | sed -n 's/^\([0-9]*\) worker.*/\1/p')"
expect "the last line" "jobs done: 500, never more than 2 in the queue" \
    "$(timeout 20 "$1" 500 | tail -n 1)"
expect "both of them work" "worker-1
worker-2" "$(timeout 20 "$1" 10 | sed -n 's/^[0-9]* //p' | grep worker | sort -u)"
expect "no jobs" "jobs done: 0, never more than 0 in the queue" "$(timeout 20 "$1" 0)"

timeout 20 "$1" 50 7 >"$scratch/stopped" 2>"$scratch/complaints"
expect "the end of one that fails" ", then a tool broke" "$(sed -n 's/^jobs done.*queue//p' \
    "$scratch/stopped")"
expect "complaints" "" "$(cat "$scratch/complaints")"
