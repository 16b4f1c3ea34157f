#!/bin/sh
# echo_client PROGRAM: exit codes where there is no server, and no arguments.
set -eu
. "$(dirname "$0")/testing.sh"

code=0
timeout 20 "$1" 2>/dev/null || code=$?
expect "exit code without arguments" 2 "$code"

code=0
timeout 20 "$1" unix "$scratch/nobody" hello 2>"$scratch/errors" || code=$?
expect "exit code without a server" 1 "$code"
grep -q "connect to unix:$scratch/nobody" "$scratch/errors" || fail "no sentence about the address"
