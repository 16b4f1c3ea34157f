#!/bin/sh
# line_protocol PROGRAM: commands and their replies; a line that is too long ends the connection.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client
cr=$(printf '\r')

start_server "$1"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" "SET a one two" "GET a" "GET b" "DEL a" "GET a" \
    "SET a" "JUMP" "" "QUIT" | tr -d '\r')
expect "replies" "OK
one two
NONE
OK
NONE
ERR what?
ERR what?
ERR what?
BYE" "$seen"

long=x
while [ ${#long} -lt 600 ]; do
    long=$long$long
done
seen=$(timeout 20 "$client" 127.0.0.1 "$port" "SET b 1$cr" "$long" "GET b" | tr -d '\r')
expect "a long line" "OK
ERR the line is too long" "$seen"
seen=$(timeout 20 "$client" 127.0.0.1 "$port" "GET b" | tr -d '\r')
expect "the store after it" "1" "$seen"
