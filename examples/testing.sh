# shellcheck shell=sh
# For the tests of the examples: a scratch folder, servers that are waited for, and checks.
# To be sourced under `set -eu`; ends what it started, whatever happens.

scratch=$(mktemp -d)
servers=

finish() {
    code=$?
    for server in $servers; do
        kill "$server" 2>/dev/null || true
    done
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM INT

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Run a program for 50 seconds at most, and write its process number to $scratch/pid. A signal is
# for that process: timeout itself, as long as it does not know that it has forked, dies of one.
limited() {
    # Not --foreground, timeout sends SIGCONT after SIGTERM. That would undo the SIGSTOP by which a
    # leak check at exit holds the server's threads, and the check would wait for it for ever.
    # shellcheck disable=SC2016 # The inner shell's.
    exec timeout --foreground 50 sh -c 'echo $$ >"$0" && exec "$@"' "$scratch/pid" "$@"
}

# Start a server and wait until it says where it listens: sets `pid`, `job` (to be waited for),
# `addr` ("127.0.0.1:4711" or "unix:PATH") and `port`. The pipe stays open, so that what the server
# prints later harms nobody.
start_server() {
    rm -f "$scratch/ready"
    mkfifo "$scratch/ready"
    limited "$@" >"$scratch/ready" &
    job=$!
    servers="$servers $job"
    exec 3<"$scratch/ready"
    read -r first <&3 || fail "no line from: $*"
    pid=$(cat "$scratch/pid")
    servers="$servers $pid"
    addr=${first#listening on }
    [ "$addr" != "$first" ] || fail "not the line of a server that is ready: $first"
    # shellcheck disable=SC2034 # For those that include this.
    port=${addr##*:}
}

# End the server started last as an administrator would; it must end cleanly.
stop_server() {
    kill -TERM "$pid"
    code=0
    wait "$job" || code=$?
    [ "$code" = 0 ] || fail "the server ended with code $code"
}

expect() { # <what is compared> <expected> <seen>
    [ "$2" = "$3" ] || fail "$1
--- expected
$2
--- seen
$3"
}
