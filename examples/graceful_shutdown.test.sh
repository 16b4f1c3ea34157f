#!/bin/sh
# graceful_shutdown PROGRAM: after SIGTERM nobody else gets in; who is there is waited for, or told.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

start_server "$1"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello)
expect "an echo" "hello" "$seen"
kill -TERM "$pid"
read -r line <&3
expect "the signal" "signal 15: 0 clients have 10000 ms" "$line"
read -r line <&3
expect "the end" "all have gone" "$line"
code=0
wait "$job" || code=$?
expect "the code" 0 "$code"
if timeout 20 "$client" 127.0.0.1 "$port" late 2>"$scratch/late"; then
    fail "it serves on"
fi

# A client that asks on and on: it is still there when the time is over.
start_server "$1" 0 100
timeout 30 "$client" 127.0.0.1 "$port" --bytes 1000000000000 >"$scratch/on" 2>&1 &
on=$!
# It counts once the server has taken it. Connections are taken in the order in which they came, so
# that one which comes after it, and is answered, tells.
while ! grep -q "^[^:]*: 0100007F:$(printf %04X "$port") [0-9A-F]*:[0-9A-F]* 01" /proc/net/tcp; do
    kill -0 "$on" || fail "the client that asks on and on has gone"
done
expect "an echo after it" ready "$(timeout 20 "$client" 127.0.0.1 "$port" ready)"
kill -TERM "$pid"
read -r line <&3
expect "the signal with a client" "signal 15: 1 clients have 100 ms" "$line"
read -r line <&3
expect "the end of the time" "out of time" "$line"
code=0
wait "$job" || code=$?
expect "the code with a client" 0 "$code"
if wait "$on"; then
    fail "its client took the goodbye for an echo"
fi
