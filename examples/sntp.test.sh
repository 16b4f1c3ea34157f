#!/bin/sh
# sntp PROGRAM: asked over this machine, its own server's clock is the client's; where nobody
# answers, it says why.
set -eu
. "$(dirname "$0")/testing.sh"

start_server "$1" --serve
seen=$(timeout 20 "$1" 127.0.0.1 "$port")
case $seen in
"the clock there is 0."*" s ahead, and "*" s away" | "the clock there is 0."*" s behind, and "*) ;;
*) fail "what it says: $seen" ;;
esac
kill -INT "$pid"
wait "$job" || fail "the server ended with an error"

code=0
seen=$(timeout 20 "$1" 127.0.0.1 "$port" 2>&1) || code=$?
expect "the code when nobody has the port" 1 "$code"
expect "what it says then" "sntp: Connection refused" "$seen"
