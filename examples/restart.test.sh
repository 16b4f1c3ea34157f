#!/bin/sh
# restart PROGRAM: two restarts while clients come all the time; a program that cannot be started
# changes nothing; systemd's sockets are taken.
set -eu
. "$(dirname "$0")/testing.sh"
client=$(dirname "$1")/echo_client

# Waits for a line, and follows the process that it tells about.
follow() {
    read -r line <&3 || fail "no more lines"
    case $line in
    "process "*" took over")
        pid=${line#process }
        pid=${pid%% *}
        servers="$servers $pid"
        ;;
    "listening on $addr") ;;
    *) fail "an unexpected line: $line" ;;
    esac
}

cp "$1" "$scratch/program"
start_server "$scratch/program"
(
    count=0
    while [ ! -e "$scratch/stop" ]; do
        seen=$(timeout 20 "$client" 127.0.0.1 "$port" hello 2>&1) || break
        [ "$seen" = hello ] || break
        count=$((count + 1))
    done
    [ -e "$scratch/stop" ] || echo "client $count: $seen" >"$scratch/failed"
) &
clients=$!
for _ in 1 2; do
    kill -HUP "$pid"
    follow
    follow
done

# The new program is broken: the old one serves on.
mv "$scratch/program" "$scratch/away"
kill -HUP "$pid"
expect "after a failed restart" hello "$(timeout 20 "$client" 127.0.0.1 "$port" hello)"
mv "$scratch/away" "$scratch/program"
kill -HUP "$pid"
follow
follow

touch "$scratch/stop"
wait "$clients"
[ ! -e "$scratch/failed" ] || fail "$(cat "$scratch/failed")"
kill -TERM "$pid"

if command -v systemd-socket-activate >/dev/null; then
    path=$scratch/socket
    limited systemd-socket-activate --listen="$path" --fdname=echo "$1" >"$scratch/activated" 2>&1 &
    job=$!
    servers="$servers $job"
    # Its file is there a moment before it listens, which is the flag 10000.
    until grep -q "^[^ ]* [^ ]* [^ ]* 00010000 .* $path\$" /proc/net/unix; do
        kill -0 "$job" 2>/dev/null || fail "$(cat "$scratch/activated")"
    done
    pid=$(cat "$scratch/pid")
    expect "a word by activation" hello "$(timeout 20 "$client" unix "$path" hello)"
    stop_server
fi
