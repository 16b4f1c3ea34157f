#!/bin/sh
# Each public header compiles alone as strict C11, as C++17 and with tcc, with every warning an
# error; the umbrella header stays light; every header keeps out of others' names.
. "$(dirname "$0")/lib.sh"

umbrella_lines_max=3000

command -v "$cxx" >/dev/null || skip "no C++ compiler"
command -v tcc >/dev/null || skip "no tcc"

# The build's own compilers and, where it is installed, the other kind.
if "$cc" --version | grep -q clang; then
    other_cc=gcc other_cxx=g++
else
    other_cc=clang other_cxx=clang++
fi
cc_all=$cc cxx_all=$cxx
command -v "$other_cc" >/dev/null && cc_all="$cc $other_cc"
command -v "$other_cxx" >/dev/null && cxx_all="$cxx $other_cxx"

report() { # <file> <what> <command...>: one line with the first error
    where=$1 what=$2
    shift 2
    "$@" >"$scratch/errors" 2>&1 && return 0
    printf '%s: %s: %s\n' "$where" "$what" "$(grep -m 1 -i -e error "$scratch/errors" ||
        head -n 1 "$scratch/errors")"
}

check() {
    for header in $(files_in "$1" 'include/rill/*.h'); do
        # Twice: an include guard that is missing or shared with another header shows.
        printf '#include <%s>\n#include <%s>\nint house_check;\n' \
            "${header#include/}" "${header#include/}" >"$scratch/alone.c"
        cp "$scratch/alone.c" "$scratch/alone.cc"
        for compiler in $cc_all; do
            report "$header" "C11, $compiler" "$compiler" -std=c11 -pedantic-errors -Wall -Wextra \
                -Wconversion -Wshadow -Wundef -Wstrict-prototypes -Wcast-qual -Werror \
                -fsyntax-only -I"$1/include" "$scratch/alone.c"
        done
        for compiler in $cxx_all; do
            report "$header" "C++17, $compiler" "$compiler" -std=c++17 -pedantic-errors -Wall \
                -Wextra -Wold-style-cast -Wzero-as-null-pointer-constant -Wundef -Werror \
                -fsyntax-only -I"$1/include" "$scratch/alone.cc"
        done
        report "$header" tcc tcc -Wall -Werror -c -I"$1/include" -o "$scratch/alone.o" \
            "$scratch/alone.c"

        # Only names with our prefix, besides what libc's own headers define.
        "$cc" -std=c11 -E -dD -I"$1/include" "$scratch/alone.c" 2>/dev/null |
            awk -v header="$header" '
                /^# [0-9]+ "/ { ours = $3 ~ /\/include\/rill\// }
                ours && /^#define / {
                    name = $2
                    sub(/\(.*/, "", name)
                    if (name !~ /^RILL_/ && name !~ /^rill_/)
                        print header ": defines the macro " name
                }'
    done
    if [ -f "$1/include/rill/rill.h" ]; then
        echo '#include <rill/rill.h>' >"$scratch/umbrella.c"
        lines=$("$cc" -std=c11 -E -I"$1/include" "$scratch/umbrella.c" 2>/dev/null |
            grep -vc '^#' || true)
        [ "$lines" -lt "$umbrella_lines_max" ] ||
            echo "include/rill/rill.h: pulls in $lines lines, $umbrella_lines_max is the limit"
        for header in $(files_in "$1" 'include/rill/*.h'); do
            [ "$header" = include/rill/rill.h ] ||
                grep -q "^#include <${header#include/}>" "$1/include/rill/rill.h" ||
                sed '/\*\//q' "$1/$header" | grep -q 'Not part of <rill/rill.h>' ||
                echo "include/rill/rill.h: does not include <${header#include/}>, which does not" \
                    "say 'Not part of <rill/rill.h>' either"
        done
    fi
}

header=include/rill/x.h
planted 'a header that needs another' 'C11' "$header" <<'END'
static inline size_t rill_len(void) { return 0; }
END
planted 'a GNU extension' 'C11' "$header" <<'END'
typedef struct rill_x { int n; struct { int zero[0]; } tail; } rill_x;
END
planted 'a narrowing conversion' 'conversion' "$header" <<'END'
static inline char rill_low(int x) { return x; }
END
planted 'an old-style cast' 'C++17' "$header" <<'END'
#ifndef X_H
#define X_H
static inline char *rill_cast(void *p) { return (char *)p; }
#endif
END
planted 'a missing guard' 'C11' "$header" <<'END'
typedef struct rill_x { int n; } rill_x;
END
planted 'an attribute tcc has no form of' 'tcc' "$header" <<'END'
#ifndef X_H
#define X_H
int rill_sum(__int128 *p);
#endif
END
planted 'a foreign macro name' 'the macro MAX' "$header" <<'END'
#ifndef RILL_X_H
#define RILL_X_H
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
END
awk 'BEGIN { print "#ifndef RILL_X_H\n#define RILL_X_H"
    for (i = 0; i < 3000; i++) print "int rill_" i "(void);"
    print "#endif" }' >"$scratch/heavy.h"
planted 'a heavy umbrella' 'is the limit' include/rill/rill.h <"$scratch/heavy.h"
clean 'a good header' "$header" <<'END'
#ifndef RILL_X_H
#define RILL_X_H
#include <stddef.h>
static inline size_t
rill_len(void)
{
    return 0;
}
#endif
END

check_tree
