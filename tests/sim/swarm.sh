#!/bin/sh
# The long sweep: 20,000 seeds of the swarm in the optimised test build, how often each kind of
# fault has fired, and each planted bug with the seed and the sentence that caught it.
set -eu
cd "$(dirname "$0")/../.."

seeds=${1:-20000}
jobs=$(nproc)
tests=build/release-tests/tests/sim
passed=0 failed=0

part() { # <name> <command...>
    name=$1
    shift
    echo "-- $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
    fi
}

build() {
    if cmake --preset release-tests && cmake --build --preset release-tests -j "$jobs" \
        --target rill_sim_test_swarm rill_sim_test_planted_bugs; then
        return 0
    fi >build/swarm.log 2>&1
    cat build/swarm.log
    return 1
}

mkdir -p build
part build build
part "$seeds seeds" env RILL_SIM_SEEDS="$seeds" RILL_SIM_JOBS="$jobs" "$tests/test_swarm"
part 'planted bugs' env RILL_SIM_SEEDS="$seeds" "$tests/test_planted_bugs"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
