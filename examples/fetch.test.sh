#!/bin/sh
# fetch PROGRAM: answers in the order of the arguments; a silent or missing server ends all of it.
set -eu
. "$(dirname "$0")/testing.sh"
echo_server=$(dirname "$1")/task_echo

start_server "$echo_server"
one=$port
start_server "$echo_server"
two=$port
seen=$(timeout 20 "$1" 10000 127.0.0.1 "$one" 127.0.0.1 "$two" 127.0.0.1 "$one")
expect "three answers" "127.0.0.1:$one: GET / HTTP/1.0
127.0.0.1:$two: GET / HTTP/1.0
127.0.0.1:$one: GET / HTTP/1.0" "$seen"

# A server that is stopped: the kernel accepts for it, and nothing is said.
: >"$scratch/stopped"
"$echo_server" >"$scratch/stopped" &
stopped=$!
while ! grep -q 'listening on' "$scratch/stopped"; do
    kill -0 "$stopped" 2>/dev/null || fail "the server to be stopped has ended"
done
silent=$(sed 's/.*://' "$scratch/stopped")
kill -STOP "$stopped"
code=0
seen=$(timeout 20 "$1" 300 127.0.0.1 "$one" 127.0.0.1 "$silent" 2>&1) || code=$?
kill -KILL "$stopped"
expect "what is said of silence" "fetch: the deadline passed" "$seen"
expect "the code" 1 "$code"

# The kernel closes the sockets of who was killed when it gets to it.
while grep -q "^[^:]*: 0100007F:$(printf %04X "$silent") [0-9A-F]*:[0-9A-F]* 0A" /proc/net/tcp; do
    :
done
seen=$(timeout 20 "$1" 10000 127.0.0.1 "$one" 127.0.0.1 "$silent" 2>&1) || true
expect "what is said of nobody" "fetch: Connection refused" "$seen"
