#!/bin/sh
# What librill.so exports is exactly tools/symbols.txt, and exactly what the public headers declare.
# After a deliberate change: sh tests/house/symbols.sh --update
. "$(dirname "$0")/lib.sh"

exported_by() { # <library>: the names, without the version node itself
    nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort -u
}

declared_in() { # <folder>
    files_in "$1" 'include/rill/*.h' | while read -r header; do
        awk '
            /^RILL_API/ { statement = ""; open = 1 }
            open { statement = statement " " $0 }
            open && /;[ \t]*(\/\*.*)?$/ {
                open = 0
                if (match(statement, /rill_[a-z0-9_]+ *[(]/)) {
                    name = substr(statement, RSTART, RLENGTH - 1)
                    sub(/ *$/, "", name)
                    print name
                }
            }' "$1/$header"
    done | LC_ALL=C sort -u
}

only_first() { # <list> <other list> <complaint about what only the first has>
    LC_ALL=C comm -23 "$scratch/$1" "$scratch/$2" | sed "s,.*,&: $3,"
}

check() {
    library=$1/librill.so
    [ -e "$library" ] || library=$build/librill.so
    exported_by "$library" >"$scratch/exported"
    declared_in "$1" >"$scratch/declared"
    LC_ALL=C sort -u "$1/tools/symbols.txt" >"$scratch/listed"
    only_first exported listed 'exported; not in tools/symbols.txt'
    only_first listed exported 'in tools/symbols.txt; not exported'
    only_first exported declared 'exported; in no public header'
    only_first declared exported 'in a public header; not exported'
    grep -v '^rill_[a-z]' "$scratch/exported" | sed 's,.*,&: exported without our prefix,' || true
}

[ -e "$build/librill.so" ] || skip "this build has no shared library"
if [ "${1:-}" = --update ]; then
    exported_by "$build/librill.so" >"$root/tools/symbols.txt"
    exit 0
fi

plant_library() { # <pattern of the complaint, or nothing> <names listed> <headers' text> <C code>
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/tools" "$scratch/tree/include/rill"
    for name in $2; do echo "$name"; done >"$scratch/tree/tools/symbols.txt"
    echo "$3" >"$scratch/tree/include/rill/x.h"
    echo "$4" | "$cc" -shared -fPIC -x c -fvisibility=hidden -o "$scratch/tree/librill.so" \
        -Wl,--version-script="$root/cmake/rill.map" -
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ ! -s "$scratch/complaints" ] && return 0
    else
        grep -q "$1" "$scratch/complaints" && return 0
    fi
    echo "self-test: expected '$1', got:"
    cat "$scratch/complaints"
    exit 1
}
api='__attribute__((visibility("default")))'
plant_library '' rill_a 'RILL_API int rill_a(void);' "$api int rill_a(void) { return 0; }"
plant_library 'rill_b: exported; not in' rill_a 'RILL_API int rill_a(void);' \
    "$api int rill_a(void) { return 0; } $api int rill_b(void) { return 0; }"
plant_library 'rill_b: in tools/symbols.txt; not' 'rill_a rill_b' 'RILL_API int rill_a(void);' \
    "$api int rill_a(void) { return 0; } int rill_b(void) { return 0; }"
plant_library 'rill_a: exported; in no public' rill_a '' "$api int rill_a(void) { return 0; }"
plant_library 'rill_c: in a public header; not' rill_a \
    'RILL_API int rill_a(void);
RILL_API int
    rill_c(void); /* Forgotten. */' "$api int rill_a(void) { return 0; }"
# The version script keeps these in, whatever their visibility says.
plant_library '' rill_a 'RILL_API int rill_a(void);' "$api int rill_a(void) { return 0; }
    $api int rill__inside(void) { return 0; } $api int other(void) { return 0; }"

check_tree
