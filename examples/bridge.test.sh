#!/bin/sh
# bridge PROGRAM: an answer comes, and a question that takes too long is aborted.
set -eu
. "$(dirname "$0")/testing.sh"

expect "what it prints" "the answer is 42
a question of 3600 s: the deadline passed, 1 aborted" "$("$1")"
