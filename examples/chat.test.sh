#!/bin/sh
# chat PROGRAM: who is in the room hears it, a slow reader is told how much he missed.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

start_server "$1"
mkfifo "$scratch/first"
timeout 50 "$client" 127.0.0.1 "$port" "/join sea" >"$scratch/first" &
servers="$servers $!"
exec 4<"$scratch/first"
next() {
    read -r line <&4 || fail "the first guest heard no more"
}
next && expect "the greeting" "guest 1 is in hall" "$line"
next && expect "the room" "guest 1 is in sea" "$line"

timeout 20 "$client" 127.0.0.1 "$port" "not in the sea" /quit >"$scratch/second"
timeout 20 "$client" 127.0.0.1 "$port" "/join sea" ahoy /quit >"$scratch/third"
expect "what the second guest heard" "guest 2 is in hall
guest 2: not in the sea" "$(cat "$scratch/second")"
next && expect "arrival" "guest 3 is in sea" "$line"
next && expect "speech" "guest 3: ahoy" "$line"
next && expect "departure" "guest 3 has left" "$line"

# The first guest reads nothing now, while another one speaks two megabytes.
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
    timeout 20 "$client" 127.0.0.1 "$port" "/join sea" $words /quit >"$scratch/more"
    i=$((i + 1))
done
# Now he reads. He may have fallen behind more than once; what he heard and what he was told that he
# missed must add up.
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
expect "all that was said to him" $((200 * 52)) $((heard + missed))
[ "$missed" -gt 0 ] || fail "nothing missed"
[ "$heard" -gt 0 ] || fail "nothing heard"
