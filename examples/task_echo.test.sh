#!/bin/sh
# task_echo PROGRAM: words and bulk come back, of many clients at once.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

start_server "$1"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello "two words")
expect "words" "hello
two words" "$seen"
for i in 1 2 3; do
    timeout 40 "$client" 127.0.0.1 "$port" --bytes 5000000 >"$scratch/$i" &
    clients="${clients:-} $!"
done
for each in $clients; do
    wait "$each" || fail "a client ended with an error"
done
for i in 1 2 3; do
    expect "bulk" "5000000 bytes came back right" "$(cat "$scratch/$i")"
done
