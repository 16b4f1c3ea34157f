#!/bin/sh
# udp_echo PROGRAM: what it is asked comes back, an empty datagram too; SIGTERM ends it cleanly.
set -eu
. "$(dirname "$0")/testing.sh"
sntp=$(dirname "$1")/sntp

start_server "$1"
expect "where it listens" 127.0.0.1 "${addr%:*}"
# What an echo answers is no time: the client asks, gets its own words, and says so.
code=0
seen=$(timeout 20 "$sntp" 127.0.0.1 "$port" 2>&1) || code=$?
expect "the client's code" 1 "$code"
expect "what it says" "sntp: that is no answer" "$seen"
stop_server
read -r summary <&3
expect "the last line" "echoed 1 datagrams, 48 bytes" "$summary"
