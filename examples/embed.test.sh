#!/bin/sh
# embed PROGRAM: both sides get their turns.
set -eu
. "$(dirname "$0")/testing.sh"

seen=$(timeout 20 "$1" | sort)
expect "the lines" "foreign: beat
foreign: beat
foreign: beat
rill: ping 1
rill: ping 2
rill: ping 3" "$seen"
