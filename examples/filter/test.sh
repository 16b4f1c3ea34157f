#!/bin/sh
# filter PROGRAM: all bytes come through, at the throttle's pace.
set -eu
. "$(dirname "$0")/../testing.sh"

seen=$(timeout 20 "$1")
expect "the report" "200000 bytes came through a throttle of 1000000 bytes a second
the sender was paused and resumed: yes
it took about 0.2 s: yes" "$(printf '%s\n' "$seen" | sed 1d)"
