#!/bin/sh
# proxy PROGRAM: bulk through it with half close, and a target that is not there.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

start_server "$(dirname "$1")/echo_server"
target=$port
start_server "$1" 127.0.0.1 "$target"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" --bytes 20000000)
expect "bulk through the proxy" "20000000 bytes came back right" "$seen"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello)
expect "a word through the proxy" "hello" "$seen"

# Nobody listens where the proxy itself is told to go: the client is turned away.
start_server "$1" 127.0.0.1 1
code=0
timeout 20 "$client" 127.0.0.1 "$port" hello 2>"$scratch/errors" || code=$?
expect "exit code without a target" 1 "$code"
