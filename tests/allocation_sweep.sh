#!/bin/sh
# Fails the allocations of the test programs' cases, one after another, on every driver: see
# tests/support/sweep.h. One part is a program on a driver; its line tells how much was tried.
#
#   tests/allocation_sweep.sh [build folder [pattern]]
#
#   RILL_TEST_SWEEP_RUNS  runs a case may take; its stride follows from that. Default 60 on the
#                         simulator, 12 on the kernel, where a lost connection is waited for. 0: no
#                         limit, every allocation is tried (an hour).
#   RILL_TEST_SWEEP_TURN  which ones of a stride are tried, from 0 on. Default: the number of
#                         commits: always the same ones of a commit, others of the next.
#
# Three programs run at once, as most of them wait. All are in one process group, which ends with
# this script.
set -eu
cd "$(dirname "$0")/.."

sweep_one() { # <build folder> <folder for logs> <entry of ctest>
    name=${3%@*}
    driver=
    case $3 in *@*) driver=${3#*@} ;; esac
    case $3 in
    *@epoll) runs=12 ;;
    */test_conformance_faults@* | sim/test_server) runs=20 ;; # Whole programs, many times over.
    *) runs=60 ;;
    esac
    log=$2/$(echo "$3" | tr / _)
    code=0
    RILL_DRIVER=$driver RILL_TEST_SWEEP_RUNS=${RILL_TEST_SWEEP_RUNS:-$runs} \
        nice timeout --foreground -k 5 "${limit_one:-120}" "$1/tests/$name" >"$log" 2>&1 || code=$?
    if [ "$code" != 0 ] && ! grep -q '^FAILED: ' "$log"; then
        echo "FAILED: $3 ended with code $code" >>"$log"
    elif ! grep -q '^swept: ' "$log"; then
        echo "FAILED: $3 swept nothing" >>"$log"
    fi
    awk -v name="$3" '
        /^FAILED: / { failed = 1 }
        /^swept: / {
            cases++
            runs += $(NF - 5)
            passed += $(NF - 3)
            unchecked += $(NF - 1)
            if ($4 + 0 > widest) widest = $4 + 0
        }
        END {
            printf "%-6s %-36s %3d cases, %5d runs, stride up to %3d, %5d passed, ", \
                failed ? "FAILED" : "ok", name, cases, runs, widest, passed
            printf "%4d ended in a callback\n", unchecked
        }' "$log"
    grep -A 12 '^FAILED: ' "$log" || true
}

if [ "${1:-}" = --one ]; then
    sweep_one "$2" "$3" "$4"
    exit
fi

build=${1:-build/release-tests}
pattern=${2:-.}

# Left out as a whole:
left_out='peers/'                                 # scripts that run other people's programs
left_out="$left_out|@uring"                       # closes descriptors where nobody can count
left_out="$left_out|test_malloc_outside"          # looks at malloc itself, which is never refused
left_out="$left_out|sim/test_(swarm|task_swarm|planted_bugs)" # a world a seed, a process a bug
left_out="$left_out|tasks/test_(gdb|stack)"       # a program under gdb; a hundred thousand tasks
left_out="$left_out|workers/"                     # fork; test_resources.c sweeps them by itself
# What attaches to a driver by hand (raw_echo) stays attached when a case is cut short:
left_out="$left_out|sim/test_(allocation|determinism|faults|owner_memory|pipes|shrink|sweep)"

# Left out by name:
not=test_leaked_allocation                     # leaks on purpose
not="$not test_loops_freed_with_connections"   # raw_echo again
not="$not test_each_allocation_fails_once"     # a sweep of its own
not="$not test_from_each_allocation_on_all_fail" # a sweep of its own
# Their threads abort when a post is refused:
not="$not test_eight_threads_post test_no_wake_up_is_lost test_a_post_keeps_its_place"
not="$not test_posts_wake_a_foreign_loop test_to_another_thread"
# Their threads go on for longer than a case waits once something was refused:
not="$not test_many_tasks_from_two_threads test_an_executor_serves_loops_of_several_threads"

logs=$(mktemp -d)
pool=
finish() {
    if [ -n "$pool" ]; then
        kill -s TERM -- "-$pool" 2>/dev/null || true
        sleep 1
        kill -s KILL -- "-$pool" 2>/dev/null || true
    fi
    rm -rf "$logs"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
turn=${RILL_TEST_SWEEP_TURN:-$(git rev-list --count HEAD 2>/dev/null || echo 0)}
export ASAN_OPTIONS=detect_leaks=0
export RILL_TEST_SWEEP=1 RILL_TEST_SWEEP_NOT="$not" RILL_TEST_SWEEP_TURN="$turn"

ctest --test-dir "$build" -N |
    sed -n 's|^ *Test *#[0-9]*: *\([a-z]*/test_[a-z0-9_]*\(@[a-z]*\)\{0,1\}\)$|\1|p' |
    grep -v -E "$left_out" | grep -E "$pattern" >"$logs.entries" || true
mv "$logs.entries" "$logs/entries"
: >"$logs/report"

setsid xargs -P 3 -n 1 sh tests/allocation_sweep.sh --one "$build" "$logs" \
    <"$logs/entries" >"$logs/report" 2>&1 &
pool=$!
tail -n +1 -f --pid="$pool" "$logs/report" &
code=0
wait "$pool" || code=$?
pool=
wait

count=$(grep -c . "$logs/entries" || true)
passed=$(grep -c '^ok ' "$logs/report" || true)
failed=$((count - passed))
if [ "$count" = 0 ] || { [ "$code" != 0 ] && [ "$failed" = 0 ]; }; then
    failed=$((failed + 1)) # Nothing was there to be swept, or the pool itself went wrong.
fi
awk '/^swept: / { runs += $(NF - 5); allocations += $(NF - 7) }
    END { print runs " runs over " allocations " allocations, turn " turn }' \
    turn="$turn" "$logs"/*@* "$logs"/sim_* /dev/null 2>/dev/null || true
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
