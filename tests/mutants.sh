#!/bin/sh
# Replays mutants: changes of the library that the comments of the test cases in tests/tasks/ record
# (HACKING.md has their format). The case must fail with its mutant, on the simulator or on epoll,
# and pass without. A run that does not end counts as failed.
#
#   tests/mutants.sh BUILD_FOLDER [COUNT | all | NAME...]
#
#   COUNT  so many, spread over all; which ones follows from the turn. Default 10.
#   NAME   those of a case, or of a program: test_lock
#
#   RILL_TEST_MUTANT_TURN  Default: the number of commits: always the same ones of a commit, others
#                          of the next.
#
# That all of them still fit the tree is looked at in any case. BUILD_FOLDER is one of Ninja's (the
# build with sanitizers, build/dev, catches most). What a mutant changes is compiled and linked
# beside it, from a copy of the sources, with the commands that the build itself would use; nothing
# in the tree or in the build changes.
set -eu
cd "$(dirname "$0")/.."

limit_mutant=20 # Seconds. A case takes a fraction of one.
limit_case=120

# Writes the commands that make the program of mutant <folder> there, to be run in the build folder.
commands_of() { # <program> <changed file> <folder> <deps of the build>
    ninja -C "$build" -t commands "$1" | awk -v root="$PWD/" -v build="$build/" -v folder="$3" \
        -v tree="$3/tree/" -v file="$2" -v deps="$4" '
        function replace(text, from, to,    at, done) {
            while ((at = index(text, from)) > 0) {
                done = done substr(text, 1, at - 1) to
                text = substr(text, at + length(from))
            }
            return done text
        }
        BEGIN {
            while ((getline line <deps) > 0) {
                split(line, pair, " ")
                if (pair[2] == file)
                    affected[pair[1]] = 1
            }
        }
        { command = $0 }
        match($0, / -o [^ ]+\.o -c /) {
            object = substr($0, RSTART + 4, RLENGTH - 8)
            if (!(object in affected))
                next
            made[object] = folder "/" ++count ".o"
            sub(/ -MD -MT [^ ]+ -MF [^ ]+/, "")
            $0 = replace($0, " -o " object " ", " -Wno-error -w -o " made[object] " ")
            $0 = replace($0, build, "\001")
            $0 = replace($0, root, tree)
            $0 = replace($0, "-I" substr(root, 1, length(root) - 1) " ", "-I" tree " ")
            print replace($0, "\001", build)
        }
        END {
            # What is named before the archives is not taken from them.
            for (object in made) {
                if (index(command, " " object " "))
                    command = replace(command, " " object " ", " " made[object] " ")
                else
                    command = replace(command, " -o ", " " made[object] " -o ")
            }
            at = match(command, / -o [^ ]+/)
            print substr(command, 1, at - 1) " -o " folder "/program" substr(command, at + RLENGTH)
            exit count == 0
        }'
}

# Prints what became of the case: passed, failed, skipped or absent.
run_case() { # <program> <case> <driver> <limit> <log>
    code=0
    (
        cd "$(dirname "$5")"
        # shellcheck disable=SC3045 # Not in POSIX, and in each shell that there is.
        ulimit -c 0
        RILL_DRIVER=$3 RILL_TEST_CASE=$2 nice timeout -k 5 "$4" "$1" >"$5" 2>&1 || exit
    ) 2>/dev/null || code=$? # The shell would tell of every abort.
    if [ "$code" = 0 ] && grep -q "^\[       OK \] $2\$" "$5"; then
        echo passed
    elif [ "$code" = 0 ] && grep -q 'Running 0 test(s)' "$5"; then
        echo absent
    elif [ "$code" = 77 ] || { [ "$code" = 0 ] && grep -q "^\[  SKIPPED \] $2\$" "$5"; }; then
        echo skipped
    else
        echo failed
    fi
}

# One line for a mutant: ok, FAILED or skipped first.
replay() { # <build folder> <scratch folder> <line of the list>
    build=$1 scratch=$2
    # shellcheck disable=SC2086 # the fields of a line
    set -- $3
    number=$1 source=$2 line=$3 name=$4 on=$5 file=$6
    program=${source%.c}
    folder=$scratch/$number.run
    mkdir "$folder"
    cp -R "$scratch/tree" "$folder/tree"
    cp "$scratch/$number" "$folder/tree/$file"
    what="$source:$line: $name"
    if ! commands_of "$program" "$file" "$folder" "$scratch/deps" >"$folder/commands"; then
        echo "FAILED $what: $file is no part of $program"
    elif ! (cd "$build" && nice sh -e "$folder/commands") >"$folder/log" 2>&1; then
        echo "FAILED $what: the mutant does not compile"
        grep -m 3 -E 'error|undefined' "$folder/log" || tail -n 3 "$folder/log"
    else
        drivers=$(sed -n 's,^.*/\* drivers: \([a-z ]*\) \*/.*$,\1,p' "$source" | head -n 1)
        judge
    fi
    rm -rf "$folder"
}

# True when there is nothing more to do.
judge_on() { # <case> <driver>
    case $(run_case "$build/$program" "$1" "$2" "$limit_case" "$folder/log") in
    passed) ;;
    absent) return 1 ;;
    skipped) echo "skipped $what on $2" && return ;;
    *)
        echo "FAILED $what: fails on $2 without any mutant"
        tail -n 20 "$folder/log"
        return
        ;;
    esac
    if [ "$(run_case "$folder/program" "$1" "$2" "$limit_mutant" "$folder/log")" = failed ]; then
        echo "ok     $1 ($file, $2)"
        return
    fi
    survived="$survived $2"
    return 1
}

judge() {
    survived=
    for driver in sim epoll; do
        case ${drivers:-$driver} in *$driver*) ;; *) continue ;; esac
        case $on-$driver in any-* | sim-sim | epoll-epoll | kernel-epoll) ;; *) continue ;; esac
        for case in "$name" "${name}_over_tcp"; do # STREAM_TEST makes two of one.
            judge_on "$case" "$driver" && return
        done
    done
    if [ -z "$survived" ]; then
        echo "FAILED $what: is no case on the simulator or on epoll"
    else
        echo "FAILED $what: passes with its mutant of $file on$survived"
    fi
}

if [ "${1:-}" = --one ]; then
    replay "$2" "$3" "$4"
    exit
fi

build=$(cd "${1:?the build folder is missing}" && pwd)
shift
. tools/bootstrap.sh
scratch=$(mktemp -d)
pool=
finish() {
    if [ -n "$pool" ]; then
        kill -s TERM -- "-$pool" 2>/dev/null || true
        sleep 1
        kill -s KILL -- "-$pool" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

: >"$scratch/complaints"
awk -v complaints="$scratch/complaints" -v out="$scratch" -f tests/mutants.awk \
    tests/tasks/test_*.c >"$scratch/list"
cat "$scratch/complaints"
stale=$(grep -c . "$scratch/complaints" || true)
recorded=$(grep -c . "$scratch/list" || true)

turn=${RILL_TEST_MUTANT_TURN:-$(git rev-list --count HEAD 2>/dev/null || echo 0)}
case ${1:-10} in
all) cp "$scratch/list" "$scratch/sample" ;;
*[!0-9]*)
    for name in "$@"; do
        awk -v name="$name" '$4 == name || $2 ~ ("/" name "[.]c$")' "$scratch/list"
    done >"$scratch/sample"
    ;;
*)
    awk -v wanted="${1:-10}" -v turn="$turn" -v recorded="$recorded" '
        BEGIN { stride = int((recorded + wanted - 1) / wanted) }
        (NR - 1) % stride == turn % stride' "$scratch/list" >"$scratch/sample"
    ;;
esac
count=$(grep -c . "$scratch/sample" || true)

programs=$(awk '{ sub(/[.]c$/, "", $2); print $2 }' "$scratch/sample" | sort -u)
# shellcheck disable=SC2086 # a list of programs, to be split
if [ "$count" != 0 ] && ! nice ninja -C "$build" -j "$(job_count)" $programs >"$scratch/log" 2>&1
then
    tail -n 20 "$scratch/log"
    echo "$build does not build"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
ninja -C "$build" -t deps | awk -v root="$PWD/" '
    /^[^ ]/ { object = $1; sub(/:$/, "", object) }
    index($1, root) == 1 { print object, substr($1, length(root) + 1) }' >"$scratch/deps"
mkdir "$scratch/tree"
find core transports restart tasks workers include tests -name '*.[ch]' >"$scratch/files"
tar -c -f - -T "$scratch/files" | tar -x -f - -C "$scratch/tree"

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
: >"$scratch/report"
tr '\n' '\0' <"$scratch/sample" | setsid xargs -0 -P "$(job_count)" -n 1 \
    sh tests/mutants.sh --one "$build" "$scratch" >"$scratch/report" 2>&1 &
pool=$!
tail -n +1 -f --pid="$pool" "$scratch/report" &
wait "$pool" || true
pool=
wait

passed=$(grep -c '^ok ' "$scratch/report" || true)
skipped=$(grep -c '^skipped ' "$scratch/report" || true)
failed=$((count - passed - skipped + stale))
[ "$count" != 0 ] || failed=$((failed + 1))
echo "$count of $recorded mutants, turn $turn"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
