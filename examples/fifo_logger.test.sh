#!/bin/sh
# fifo_logger PROGRAM: lines of several writers, one after another and at once; its end.
set -eu
. "$(dirname "$0")/testing.sh"

fifo=$scratch/log
timeout --foreground 50 "$1" "$fifo" >"$scratch/out" &
job=$!
servers="$servers $job"
i=0
while [ ! -p "$fifo" ]; do
    i=$((i + 1))
    [ $i -lt 200 ] || fail "no FIFO"
    sleep 0.05
done

said() { # <so many lines>: waits for them
    i=0
    while [ "$(wc -l <"$scratch/out")" -lt "$1" ]; do
        i=$((i + 1))
        [ $i -lt 400 ] || fail "only $(wc -l <"$scratch/out") lines of $1"
        sleep 0.05
    done
}

echo hello >"$fifo"
said 1
echo "once more" >"$fifo"
said 2
for name in a b c; do
    (for n in 1 2 3 4 5 6 7 8 9 10; do echo "$name $n"; done >"$fifo") &
    writers="${writers:-} $!"
done
# shellcheck disable=SC2086 # A list.
wait $writers
said 32
head -c 10000 /dev/zero | tr '\0' 'y' >"$fifo"
echo >"$fifo"
i=0
while [ "$(tr -d -c 'y' <"$scratch/out" | wc -c)" -lt 10000 ]; do
    i=$((i + 1))
    [ $i -lt 400 ] || fail "of a long line something is missing"
    sleep 0.05
done

expect "the first line" "hello" "$(sed -n '1s/^[0-9]*\.[0-9][0-9][0-9] //p' "$scratch/out")"
expect "the second one" "once more" "$(sed -n '2s/^[0-9.]* //p' "$scratch/out")"
for name in a b c; do
    expect "lines of $name, in order" "1 2 3 4 5 6 7 8 9 10" \
        "$(sed -n "s/^[0-9.]* $name //p" "$scratch/out" | tr '\n' ' ' | sed 's/ $//')"
done
kill "$job"
wait "$job" || fail "it ended with $?"
[ ! -e "$fifo" ] || fail "the FIFO is still there"
echo plain >"$scratch/plain"
if timeout 20 "$1" "$scratch/plain" 2>"$scratch/errors"; then
    fail "a plain file was taken for a FIFO"
fi
case $(cat "$scratch/errors") in
*"is no FIFO"*) ;;
*) fail "not told why: $(cat "$scratch/errors")" ;;
esac
