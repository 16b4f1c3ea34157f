# shellcheck shell=sh disable=SC2034
# ctest: no
# Sourced by the house tests. Each of them defines check(), which prints one line for each violation
# below the folder $1 and nothing when all is well; then it proves with planted() and clean() that
# check() finds what it should, and last calls check_tree on the real tree.
set -eu

root=${RILL_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${RILL_BUILD:-$root/build/dev}
cc=${RILL_CC:-cc}
cxx=${RILL_CXX:-c++}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

skip() {
    printf 'skip: %s\n' "$*"
    exit 77
}

# The project's own files below $1 whose path matches one of the patterns, relative, sorted. Build
# folders and hidden ones (an editor's, git's) are not ours.
files_in() { # <folder> <pattern...>
    (
        cd "$1"
        shift
        for pattern in "$@"; do
            find . -type d \( -name build -o -name '*build-*' -o -name '.?*' ! -name .ci \) \
                -prune -o -type f ! -name .git -path "./$pattern" -print
        done | sed 's,^\./,,' | LC_ALL=C sort -u
    )
}

# Writes standard input to <file> of a new tree; check() must complain with a line that matches.
planted() { # <what> <pattern that the complaint matches> <file>
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/$(dirname "$3")"
    cat >"$scratch/tree/$3"
    check "$scratch/tree" >"$scratch/complaints"
    grep -q -e "$2" "$scratch/complaints" && return 0
    printf 'self-test: %s was planted in %s and not found\n' "$1" "$3"
    cat "$scratch/complaints"
    exit 1
}

# The opposite: check() must stay silent.
clean() { # <what> <file>
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/$(dirname "$2")"
    cat >"$scratch/tree/$2"
    check "$scratch/tree" >"$scratch/complaints"
    [ -s "$scratch/complaints" ] || return 0
    printf 'self-test: %s in %s is no violation, but:\n' "$1" "$2"
    cat "$scratch/complaints"
    exit 1
}

check_tree() {
    check "$root" >"$scratch/complaints"
    [ -s "$scratch/complaints" ] || exit 0
    cat "$scratch/complaints"
    exit 1
}
