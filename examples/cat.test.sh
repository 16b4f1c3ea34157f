#!/bin/sh
# cat PROGRAM: pipes, files, devices and terminals' places in any mix; a reader that goes early.
set -eu
. "$(dirname "$0")/testing.sh"
cat=$1

printf 'one\ntwo\n' >"$scratch/a"
printf 'three\n' >"$scratch/b"
head -c 3000000 /dev/zero | tr '\0' 'x' >"$scratch/big"

expect "pipe to pipe" "through" "$(printf 'through' | timeout 20 "$cat" | /bin/cat)"
expect "files to a pipe" "one
two
three" "$(timeout 20 "$cat" "$scratch/a" "$scratch/b" | /bin/cat)"
expect "a file as input" "three" "$(timeout 20 "$cat" <"$scratch/b" | /bin/cat)"
expect "input in between" "three
in
three" "$(printf 'in\n' | timeout 20 "$cat" "$scratch/b" - "$scratch/b" | /bin/cat)"
expect "nothing" "" "$(timeout 20 "$cat" </dev/null)"

cp "$scratch/big" "$scratch/copied"
timeout 20 "$cat" "$scratch/big" >"$scratch/copy"
cmp "$scratch/big" "$scratch/copy" || fail "a file to a file"
timeout 20 "$cat" <"$scratch/a" >>"$scratch/copy"
expect "appended" "3000008" "$(wc -c <"$scratch/copy" | tr -d ' ')"
timeout 20 "$cat" <"$scratch/big" | timeout 20 "$cat" | cmp - "$scratch/copied" ||
    fail "through two"
expect "an early end" "one" "$(timeout 20 "$cat" "$scratch/a" "$scratch/big" | head -1)"
timeout 20 "$cat" "$scratch/big" >/dev/null || fail "to the null device"

# What the shell shares with it stays as the shell had it.
(
    timeout 20 "$cat"
    /bin/cat
) <"$scratch/a" >"$scratch/once" || fail "a shared input"
expect "what two programs made of one input" "one
two" "$(/bin/cat "$scratch/once")"
(
    timeout 20 "$cat" "$scratch/a"
    timeout 20 "$cat" "$scratch/b"
) >"$scratch/both" || fail "a shared output"
expect "what two programs wrote" "one
two
three" "$(/bin/cat "$scratch/both")"
if timeout 20 "$cat" "$scratch/nowhere" 2>"$scratch/errors"; then
    fail "a file that is not there"
fi
case $(/bin/cat "$scratch/errors") in
*nowhere*) ;;
*) fail "the error does not name the file: $(/bin/cat "$scratch/errors")" ;;
esac
