#!/bin/sh
# workers_echo PROGRAM: threads and processes serve, with each way to accept; SIGTERM ends all of
# them cleanly, and a process that is killed is replaced.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

for form in "" --processes; do
    for accept in reuseport handover shared; do
        # shellcheck disable=SC2086 # no word when it is empty
        start_server "$1" --workers 2 --accept "$accept" $form
        for _ in 1 2 3 4 5 6; do
            seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello)
            expect "$accept $form" "hello" "$seen"
        done
        stop_server
        read -r summary <&3
        expect "the last line of $accept $form" "served 6 connections, aborted 0" "$summary"
    done
done

start_server "$1" --workers 1 --processes 2>"$scratch/log"
worker=$(ps -o pid= --ppid "$pid" | tr -d " ")
kill -KILL "$worker"
until grep -q "starts again" "$scratch/log"; do
    kill -0 "$pid" || fail "the server ended with its worker"
done
seen=
until [ "$seen" = hello ]; do # The new one comes after its pause.
    seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello 2>/dev/null || true)
done
stop_server
