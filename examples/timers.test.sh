#!/bin/sh
# timers PROGRAM: the same lines on the real clock and on the simulator's.
set -eu
. "$(dirname "$0")/testing.sh"

expected="soon
first at 20 ms
second at 20 ms
tick 1, 2, 3, then canceled
idle timeout after three messages
merged ticks: yes
a stale id cancels nothing"
expect "the lines" "$expected" "$(timeout 20 "$1")"
