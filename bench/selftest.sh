#!/bin/sh
# Is the bench itself right? Its arithmetic, its load generator's eye for wrong bytes, and every
# contestant that is built, over TCP and Unix, with messages that need the slow path too.
#
#     selftest.sh DIRECTORY
#
# DIRECTORY holds the built binaries. Says what failed and leaves with 1.
set -eu

[ $# -eq 1 ] || { echo "usage: selftest.sh DIRECTORY" >&2; exit 2; }
directory=$(cd "$1" && pwd)
scratch=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
failed=0
port=$((31000 + $$ % 1000))

complain() { echo "selftest: $*" >&2; failed=$((failed + 1)); }

# with_server WORKLOAD OPERATIONS PROGRAM ARGUMENT...: what the load generator thinks of it.
with_server() {
    workload=$1 operations=$2
    shift 2
    "$@" 2>"$scratch/server" &
    server=$!
    rc=0
    "$directory/load" "$workload" "$where" --ops "$operations" >/dev/null 2>"$scratch/load" || rc=$?
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
    return "$rc"
}

"$directory/selftest" || complain "arithmetic"

# Each kind of lie, and what the load generator must say to it.
lie() {
    port=$((port + 1)) where=$port
    if with_server tcp-1024-c2 2000 "$directory/liar" "$1" "$where"; then
        complain "the load generator believed the liar: $1"
    elif ! grep -q "$2" "$scratch/load"; then
        complain "the load generator found a wrong reason for $1: $(cat "$scratch/load")"
    fi
}
port=$((port + 1)) where=$port
with_server tcp-1024-c2 2000 "$directory/liar" honest "$where" ||
    complain "the load generator distrusts an honest server: $(cat "$scratch/load")"
lie flip 'the echo differs'
lie drop 'the echo differs\|nothing came back'
lie double 'the echo differs'
lie swap 'the echo differs'
lie extra 'more than it was given\|the echo differs'
lie close 'closed a connection\|(errno: Connection reset\|(errno: Broken pipe'
lie silent 'nothing came back'

for contestant in "$directory"/contestant-*; do
    name=${contestant##*/}
    for workload in tcp-64-c1 tcp-64-c50-q16 tcp-102400-c20 tcp-4000000-c3 tcp-1000000-c4-q8 \
        churn-tcp-c8 unix-64-c10 unix-1000000-c3-q4; do
        port=$((port + 1)) where=$port mode=tcp
        case $workload in unix-*) mode=unix where=$scratch/socket ;; esac
        rm -f "$scratch/socket"
        case $workload in *000000-*) operations=100 ;; *) operations=2000 ;; esac
        with_server "$workload" "$operations" "$contestant" "$mode" "$where" ||
            complain "$name, $workload: $(cat "$scratch/load" "$scratch/server")"
    done
    "$contestant" version | grep -q '^[a-z]* [0-9]' || complain "$name does not tell its version"
    rc=0
    "$contestant" smoke-signals 1 2>/dev/null || rc=$?
    [ "$rc" = 3 ] || complain "$name answers an unknown mode with status $rc, not 3"
done

# The guard of instructions, with a figure that is too low and one that is too high.
guard() {
    what=$1 figure=$2 expected=$3
    guard_rc=0
    sed "/^[^#]/s/soon_batch [^ ]*/soon_batch $figure/" "$(dirname "$0")/guard_figures" \
        >"$scratch/figures"
    "$(dirname "$0")/guard" "$directory" --only soon_batch --figures "$scratch/figures" \
        >"$scratch/guard" 2>&1 || guard_rc=$?
    if grep -q '^skip: ' "$scratch/guard"; then
        return
    fi
    grep -q "$expected" "$scratch/guard" || complain "the guard, $what: $(cat "$scratch/guard")"
    case $expected-$guard_rc in
    FAILED*-1 | [!F]*-0) ;;
    *) complain "the guard, $what, ends with $guard_rc" ;;
    esac
}
if [ -x "$directory/counted" ]; then
    guard 'what became dearer' 10 'FAILED: soon_batch'
    guard 'what became cheaper' 10000 'lower its figure'
fi

[ "$failed" = 0 ] || { echo "selftest: $failed failed" >&2; exit 1; }
echo "selftest: all well"
