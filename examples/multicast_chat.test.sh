#!/bin/sh
# multicast_chat PROGRAM: two members on one machine's loopback interface hear each other.
set -eu
. "$(dirname "$0")/testing.sh"

# A group and a port are everybody's on this machine: one that nobody else is likely to use, and
# below those that the kernel gives away.
room=$((20000 + $$ % 12000))
mkfifo "$scratch/anna" "$scratch/bert" "$scratch/heard" "$scratch/other"
"$1" anna lo "$room" <"$scratch/anna" >"$scratch/heard" &
anna=$!
servers="$servers $anna"
exec 4>"$scratch/anna" 5<"$scratch/heard"
read -r line <&5
expect "anna is there" "listening on 0.0.0.0:$room" "$line"
"$1" bert lo "$room" <"$scratch/bert" >"$scratch/other" &
bert=$!
servers="$servers $bert"
exec 6>"$scratch/bert" 7<"$scratch/other"
read -r line <&7
expect "bert is there" "listening on 0.0.0.0:$room" "$line"
echo "hello, anna" >&6
read -r line <&5
expect "what anna hears of bert" "bert: hello, anna" "$line"
echo "hello, bert" >&4
read -r line <&5
expect "what anna hears of herself" "anna: hello, bert" "$line"
read -r line <&7
expect "what bert hears of himself" "bert: hello, anna" "$line"
read -r line <&7
expect "what bert hears of anna" "anna: hello, bert" "$line"
echo /quit >&6
wait "$bert" || fail "bert did not end well"
exec 4>&-
wait "$anna" || fail "anna did not end well"
