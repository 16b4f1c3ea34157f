#!/bin/sh
# threads PROGRAM: known hashes in the order of the arguments, a file that is not there among them,
# and the loop goes on while a large one is hashed.
set -eu
. "$(dirname "$0")/testing.sh"

cd "$scratch"
: >empty
printf a >a
printf foobar >foobar
truncate -s 32M large

expected="cbf29ce484222325  empty
af63dc4c8601ec8c  a
85944171f73967e8  foobar"
seen=$(timeout 20 "$1" empty a foobar large)
expect "the hashes" "$expected" "$(echo "$seen" | head -n 3)"
expect "the loop" "ticked meanwhile, and was asked" "$(echo "$seen" | tail -n 1)"

code=0
seen=$(timeout 20 "$1" a none large) || code=$?
expect "the code with one that is not there" 1 "$code"
expect "it and its neighbour" "af63dc4c8601ec8c  a
  cannot be read  none" "$(echo "$seen" | head -n 2)"
