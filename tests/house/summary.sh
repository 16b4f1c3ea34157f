#!/bin/sh
# tools/summary.awk, from which ./check takes its verdict: what it counts and what it fails for.
. "$(dirname "$0")/lib.sh"

cat >"$scratch/log" <<'END'
1/6 Test #1: core/test_good@epoll ..............   Passed    0.02 sec
2/6 Test #2: core/test_bad ......................***Failed    0.02 sec
3/6 Test #3: core/test_slow .....................***Timeout   3.01 sec
4/6 Test #4: core/test_absent ...................***Skipped   0.01 sec
5/6 Test #5: core/test_empty ....................   Passed    0.01 sec
6/6 Test #6: core/test_gone .....................***Not Run   0.00 sec
END

good='<testcase name="core/test_good@epoll" classname="x" time="0.02" status="run">
<system-out>[==========] Running 2 test(s).
[ RUN      ] test_one
[       OK ] test_one
[ RUN      ] test_two
skip: no IPv6 &lt;here&gt;
[  SKIPPED ] test_two
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] test_two
</system-out>
</testcase>'
bad='<testcase name="core/test_bad" classname="x" time="0.02" status="fail">
<failure message=""/>
<system-out>[  ERROR   ] --- 1 != 2
</system-out>
</testcase>'
slow='<testcase name="core/test_slow" classname="x" time="3" status="fail">
<failure message=""/>
<system-out></system-out>
</testcase>'
absent='<testcase name="core/test_absent" classname="x" time="0" status="notrun">
<skipped message="SKIP_RETURN_CODE=77"/>
<system-out>skip: no tool
</system-out>
</testcase>'
empty='<testcase name="core/test_empty" classname="x" time="0" status="run">
<system-out>[==========] Running 0 test(s).
</system-out>
</testcase>'
gone='<testcase name="core/test_gone" classname="x" time="0" status="notrun">
<skipped message=""/>
<system-out>Unable to find executable: core/test_gone
</system-out>
</testcase>'

expect() { # <exit code> <last line> <pattern that some line matches> <CI> <test cases...>
    code=0 wanted=$1 last=$2 pattern=$3 ci=$4
    shift 4
    printf '%s\n' '<testsuite>' "$@" '</testsuite>' >"$scratch/report.xml"
    awk -v ci="$ci" -v seconds=1 -f "$root/tools/summary.awk" "$scratch/log" \
        "$scratch/report.xml" >"$scratch/out" || code=$?
    if [ "$code" != "$wanted" ] || [ "$(tail -n 1 "$scratch/out")" != "$last" ] ||
        ! grep -q -e "$pattern" "$scratch/out"; then
        echo "expected code $wanted, '$last' and '$pattern', got code $code and:"
        cat "$scratch/out"
        exit 1
    fi
}

expect 0 '1 passed, 0 failed, 1 skipped' \
    '^skipped: core/test_good@epoll test_two (no IPv6 <here>)$' '' "$good"
expect 1 '1 passed, 1 failed, 0 skipped' 'counts as failed' true "$good"
expect 0 '0 passed, 0 failed, 1 skipped' '^skipped: core/test_absent (no tool)$' '' "$absent"
expect 1 '0 passed, 1 failed, 0 skipped' '^    \[  ERROR   \] --- 1 != 2$' '' "$bad"
expect 1 '0 passed, 1 failed, 0 skipped' '^FAILED: core/test_slow (Timeout)$' '' "$slow"
expect 1 '0 passed, 1 failed, 0 skipped' 'without a single case' '' "$empty"
expect 1 '0 passed, 1 failed, 0 skipped' 'core/test_gone (Not Run)' '' "$gone"
expect 1 '0 passed, 1 failed, 0 skipped' 'no test ran' ''
expect 1 '1 passed, 4 failed, 2 skipped' '^FAILED: core/test_bad' '' \
    "$good" "$bad" "$slow" "$absent" "$empty" "$gone"
