#!/bin/sh
# task_chat PROGRAM: who is there hears it, a slow reader is told how much he missed, and a line
# that is too long ends its guest.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

start_server "$1"
mkfifo "$scratch/first"
timeout 50 "$client" 127.0.0.1 "$port" ahoy >"$scratch/first" &
servers="$servers $!"
exec 4<"$scratch/first"
next() {
    read -r line <&4 || fail "the first guest heard no more"
}
next && expect "the greeting" "guest 1 is here" "$line"
next && expect "his own words" "guest 1: ahoy" "$line"

timeout 20 "$client" 127.0.0.1 "$port" "hello there" /quit >"$scratch/second"
expect "what the second guest heard" "guest 2 is here
guest 2: hello there" "$(cat "$scratch/second")"
next && expect "arrival" "guest 2 is here" "$line"
next && expect "speech" "guest 2: hello there" "$line"
next && expect "departure" "guest 2 has left" "$line"

timeout 20 "$client" 127.0.0.1 "$port" "$(printf '%0300d' 7)" >"$scratch/third"
expect "what is said of a long line" "guest 3 is here
* that line is too long" "$(cat "$scratch/third")"
next
next && expect "his departure" "guest 3 has left" "$line"

# The first guest reads nothing now, while others speak two megabytes.
words=
line=$(printf '%0200d' 7)
i=0
while [ $i -lt 50 ]; do
    words="$words $line"
    i=$((i + 1))
done
i=0
while [ $i -lt 200 ]; do
    # shellcheck disable=SC2086 # one argument a word
    timeout 20 "$client" 127.0.0.1 "$port" $words /quit >"$scratch/more"
    i=$((i + 1))
done
# Now he reads. What he heard and what he was told that he missed must reach what was said; others
# come and go meanwhile, since it is somebody's words that remind the server of him.
while timeout 20 "$client" 127.0.0.1 "$port" /quit >"$scratch/more"; do
    :
done &
servers="$servers $!"
heard=0
missed=0
while [ $((heard + missed)) -lt $((200 * 52)) ]; do
    next
    case $line in
    "* you missed "*)
        line=${line#"* you missed "}
        missed=$((missed + ${line% lines}))
        ;;
    *) heard=$((heard + 1)) ;;
    esac
done
[ "$missed" -gt 0 ] || fail "nothing missed"
[ "$heard" -gt 0 ] || fail "nothing heard"
