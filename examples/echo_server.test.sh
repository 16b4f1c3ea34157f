#!/bin/sh
# echo_server PROGRAM: words and bulk come back over TCP and a Unix socket; SIGTERM ends it cleanly.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

start_server "$1"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello "two words")
expect "words over TCP" "hello
two words" "$seen"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" --bytes 20000000)
expect "bulk over TCP" "20000000 bytes came back right" "$seen"
stop_server
read -r summary <&3
expect "the last line" "served 2 connections" "$summary"

start_server "$1" --unix "$scratch/socket" --driver epoll
expect "the Unix address" "unix:$scratch/socket" "$addr"
seen=$(timeout 20 "$client" unix "$scratch/socket" --bytes 1000000)
expect "bulk over a Unix socket" "1000000 bytes came back right" "$seen"
stop_server
[ ! -e "$scratch/socket" ] || fail "the socket's path is still there"
