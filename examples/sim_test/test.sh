#!/bin/sh
# sim_test PROGRAM: the adder holds in every world; a library without the simulator skips.
set -eu
. "$(dirname "$0")/../testing.sh"

seen=$(timeout 50 "$1" 100)
expect "cuts" "13 ways to cut the input: right" "$(printf '%s\n' "$seen" | sed -n 1p)"
case $seen in
*"100 seeds: right, "*) ;;
*) fail "$seen" ;;
esac
