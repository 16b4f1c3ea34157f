#!/bin/sh
# Nothing lies in the tree unused: every test source and script is a ctest entry (on every driver,
# unless it says otherwise), every C file is compiled by this build.
. "$(dirname "$0")/lib.sh"

marker_of() { sed -n 's,^.*/\* drivers: \([a-z ]*\) \*/.*$,\1,p' "$1" | head -n 1; }

check() {
    listing=$1/ctest.listing
    if [ ! -f "$listing" ]; then
        listing=$scratch/ctest.listing
        ctest --test-dir "$build" -N | sed -n 's/^ *Test *#[0-9]*: //p' >"$listing"
    fi
    compiled=$1/compile_commands.json
    [ -f "$compiled" ] || compiled=$build/compile_commands.json

    files_in "$1" 'tests/*/test_*.c' | while read -r source; do
        entry=${source#tests/}
        entry=${entry%.c}
        drivers=$(marker_of "$1/$source")
        case $entry in
        core/* | transports/* | restart/* | tasks/* | workers/*) drivers=${drivers:-epoll sim} ;;
        *) drivers=${drivers:-none} ;;
        esac
        for driver in $drivers; do
            name=$entry@$driver
            [ "$driver" != none ] || name=$entry
            grep -qx "$name" "$listing" || echo "$source: there is no ctest entry $name"
        done
    done
    files_in "$1" 'tests/house/*.sh' | while read -r script; do
        grep -q '^# ctest: ' "$1/$script" && continue
        name=${script#tests/}
        grep -qx "${name%.sh}" "$listing" || echo "$script: there is no ctest entry ${name%.sh}"
    done
    files_in "$1" 'examples/*.test.sh' | while read -r script; do
        name=${script%.test.sh}
        grep -qx "$name" "$listing" || echo "$script: there is no ctest entry $name"
    done
    files_in "$1" '*.c' | grep -v -E '^(bench|tests/house)/' | while read -r source; do
        grep -q "/$source\"" "$compiled" || echo "$source: is not compiled"
    done
}

[ -f "$build/compile_commands.json" ] || skip "this build has no compile_commands.json"
plant_source() { # <pattern> <source> <its text> <ctest listing> <compiled>
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/$(dirname "$2")"
    echo "$3" >"$scratch/tree/$2"
    for name in $4; do echo "$name"; done >"$scratch/tree/ctest.listing"
    echo "\"file\": \"/x/$5\"" >"$scratch/tree/compile_commands.json"
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ -s "$scratch/complaints" ] || return 0
    else
        grep -q "$1" "$scratch/complaints" && return 0
    fi
    echo "self-test: expected '$1' for $2, got:"
    cat "$scratch/complaints"
    exit 1
}
test=tests/core/test_x.c
plant_source '' $test '/* x */' 'core/test_x@epoll core/test_x@sim' $test
plant_source 'entry core/test_x@sim' $test '/* x */' core/test_x@epoll $test
plant_source '' $test '/* drivers: epoll */' core/test_x@epoll $test
plant_source '' $test '/* drivers: none */' core/test_x $test
plant_source 'is not compiled' $test '/* drivers: none */' core/test_x other.c
plant_source 'entry unit/test_x' tests/unit/test_x.c '/* x */' core/test_x tests/unit/test_x.c
plant_source 'entry house/x' tests/house/x.sh '#!/bin/sh' core/test_x x.c
plant_source 'entry examples/x' examples/x.test.sh '#!/bin/sh' core/test_x x.c
plant_source 'is not compiled' core/lost.c '/* x */' '' core/found.c

check_tree
