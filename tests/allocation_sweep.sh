#!/bin/sh
# Fails every allocation of every case of the test programs, one after another, on every driver:
# see tests/support/sweep.h. Prints each program's runs, what went wrong, and a line with the sum.
#
#   tests/allocation_sweep.sh [build folder [stride [pattern]]]
#
# The stride leaves allocations out: 1, the default, leaves out none. Most of the time on the kernel
# is spent waiting for connections that were lost, so more run at once than there are processors.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/release-tests}
stride=${2:-1}
pattern=${3:-.}

# These make allocations fail themselves, or leak and crash on purpose; or they look at the clock
# for seconds, or attach to a simulated driver with their own hands and would have to detach.
left_out='test_memory|test_malloc_outside|test_conformance_faults|test_timer@epoll|peers/|\
sim/test_(allocation|owner_memory|planted_bugs|shrink|sweep|swarm|server|world|determinism)'
left_out=$(printf %s "$left_out" | tr -d '\\\n')

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export ASAN_OPTIONS=detect_leaks=0
export RILL_TEST_SWEEP="$stride" RILL_TEST_SWEEP_NOT=test_leaked_allocation

sweep_one() { # <entry of ctest>
    name=${1%@*}
    driver=
    case $1 in *@*) driver=${1#*@} ;; esac
    log=$logs/$(echo "$1" | tr / _)
    code=0
    RILL_DRIVER=$driver nice timeout -k 5 600 "$build/tests/$name" >"$log" 2>&1 || code=$?
    if [ "$code" != 0 ] && ! grep -q '^FAILED: ' "$log"; then
        echo "FAILED: $1 ended with code $code" >>"$log"
    fi
    awk -v name="$1" '
        /^swept: / { cases++; runs += $(NF - 5); passed += $(NF - 3); unchecked += $(NF - 1) }
        END {
            printf "%-44s %4d cases, %6d runs, %6d passed, %5d ended in a callback\n", name, cases,
                runs, passed, unchecked
        }' "$log"
}

entries=$(ctest --test-dir "$build" -N |
    sed -n 's|^ *Test *#[0-9]*: *\([a-z]*/test_[a-z0-9_]*\(@[a-z]*\)\{0,1\}\)$|\1|p' |
    grep -v -E "$left_out" | grep -E "$pattern")

# POSIX sh has no pool: as many rows as may run at once, each taking every fourth entry.
for row in 0 1 2 3; do
    (
        number=0
        for entry in $entries; do
            [ $((number % 4)) != $row ] || sweep_one "$entry"
            number=$((number + 1))
        done
    ) &
done
wait

cat "$logs"/* >"$logs.all"
mv "$logs.all" "$logs/all"
grep -A 12 '^FAILED: ' "$logs/all" || true
failed=$(grep -c '^FAILED: ' "$logs/all" || true)
runs=$(awk '/^swept: / { runs += $(NF - 5) } END { print runs + 0 }' "$logs/all")
[ "$runs" -gt 0 ] || failed=1
echo "$((runs - failed)) passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
