#!/bin/sh
# clang-format agrees with every C file. To mend: sh tests/house/format.sh --fix
. "$(dirname "$0")/lib.sh"

# Versions differ in details; 14 is the judge.
formatter=
for candidate in clang-format-14 clang-format; do
    if "$candidate" --version 2>/dev/null | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
[ -n "$formatter" ] || skip "clang-format 14 is not installed"

check() {
    (
        cd "$1"
        cp "$root/.clang-format" "$scratch/.clang-format"
        files_in . '*.[ch]' '*.cc' '*.cpp' | while read -r file; do
            "$formatter" --dry-run -Werror "$file" 2>&1 | grep -m 1 -E '^[^ ]+:[0-9]+:' || true
        done
    )
}

if [ "${1:-}" = --fix ]; then
    cd "$root"
    files_in . '*.[ch]' '*.cc' '*.cpp' | while read -r file; do "$formatter" -i "$file"; done
    exit 0
fi

planted 'a brace on the wrong line' 'should be clang-formatted' core/x.c <<'END'
static int
f(void) {
    return 0;
}
END
clean 'good layout' core/x.c <<'END'
static int
f(void)
{
    return 0;
}
END

check_tree
