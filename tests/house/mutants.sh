#!/bin/sh
# Every case in tests/tasks/ records a mutant, a change of the library that it finds, or says why it
# has none; and each of them still fits the tree. tests/mutants.sh replays them.
. "$(dirname "$0")/lib.sh"

check() {
    (
        cd "$1"
        sources=$(files_in . 'tests/tasks/test_*.c')
        : >"$scratch/found"
        # shellcheck disable=SC2086 # a list of files, to be split
        [ -z "$sources" ] ||
            awk -v complaints="$scratch/found" -f "$root/tests/mutants.awk" $sources >/dev/null
        cat "$scratch/found"
    )
}

cat >"$scratch/library.c" <<'END'
/* Purpose. */
#define TWICE(x) \
    do {         \
        (x)++;   \
    } while (0)

static int
one(int a)
{
    a--; /* Down. */
    return a;
}

static int
two(int a)
{
    TWICE(a);
    return a;
}
END

plant_mutant() { # <pattern of the complaint, or nothing> <lines of a mutant> [what stands between]
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/tests/tasks" "$scratch/tree/tasks"
    cp "$scratch/library.c" "$scratch/tree/tasks/x.c"
    {
        printf '/* Purpose. */\n\n/* %b */\n' "$2"
        printf '%bstatic void\ntest_it(void **unused)\n{\n}\n' "${3:-}"
    } >"$scratch/tree/tests/tasks/test_x.c"
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ -s "$scratch/complaints" ] || return 0
    else
        grep -q -e "$1" "$scratch/complaints" && return 0
    fi
    echo "self-test: expected '$1' for this mutant, got:"
    printf '%b\n' "$2"
    cat "$scratch/complaints"
    exit 1
}

plant_mutant '' 'mutant: tasks/x.c\n * - a--;\n * + a++;'
plant_mutant '' 'Why.\n *\n * mutant: tasks/x.c\n * -     a--;\n * - return a;\n * + return a;'
plant_mutant '' 'mutant: tasks/x.c @ two\n * - return a;\n * + return 0;'
plant_mutant '' 'mutant: tasks/x.c @ TWICE\n * - (x)++;'
plant_mutant '' 'mutant: tasks/x.c\n * - a--;\n * mutant: tasks/x.c\n * - TWICE(a);'
plant_mutant '' 'no mutant: it is about the tests.'
plant_mutant 'has no mutant' 'Only prose.'
plant_mutant '0 times' 'mutant: tasks/x.c\n * - a -- ;'
plant_mutant '0 times' 'mutant: tasks/x.c @ one\n * - TWICE(a);'
plant_mutant '2 times' 'mutant: tasks/x.c\n * - return a;\n * + return 0;'
plant_mutant 'takes no line away' 'mutant: tasks/x.c\n * + return 0;'
plant_mutant 'no file' 'mutant: tasks/y.c\n * - return a;'
plant_mutant 'no function' 'mutant: tasks/x.c @ three\n * - return a;'
plant_mutant 'a source of the library' 'mutant: tests/tasks/test_x.c\n * - {'
plant_mutant 'lines begin with' 'mutant: tasks/x.c\n * - a--;\n * Prose.'
plant_mutant 'begins with a line' 'Prose. mutation: tasks/x.c: a-- left out'
plant_mutant 'no case stands below' 'mutant: tasks/x.c\n * - a--;' 'static int x;\n\n'

check_tree
