#!/bin/sh
# filter PROGRAM: all bytes come through at the throttle's pace, and it passes the battery.
set -eu
. "$(dirname "$0")/../testing.sh"

seen=$(timeout 50 "$1")
expect "the report" "200000 bytes came through a throttle of 1000000 bytes a second
the sender was paused and resumed: yes
it took at least 0.19 s: yes" "$(printf '%s\n' "$seen" | sed -n 2,4p)"
case $seen in
*"conformance: "*" passed, 0 failed, "*) ;;
*) fail "$seen" ;;
esac
