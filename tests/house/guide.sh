#!/bin/sh
# Every block of C and C++ in README.md and docs/guide compiles, on its own, after the public
# headers and a few of the C library's.
. "$(dirname "$0")/lib.sh"

prelude='#include <rill/rill.h>
#include <rill/conformance.h>
#include <rill/sim.h>
#include <rill/transport_ops.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#line 1'

blocks_of() { # <markdown file> <prefix of the files to write>
    awk -v prefix="$2" -v prelude="$prelude" '
        /^```(c|cpp)$/ {
            out = prefix "-" FNR "." substr($0, 4)
            print prelude > out
            inside = 1
            next
        }
        /^```/ { inside = 0 }
        inside { print > out }' "$1"
}

check() {
    rm -rf "$scratch/blocks"
    mkdir "$scratch/blocks"
    files_in "$1" README.md 'docs/guide/*.md' | while read -r file; do
        blocks_of "$1/$file" "$scratch/blocks/$(printf '%s' "$file" | tr '/' '_')"
    done
    find "$scratch/blocks" -type f | LC_ALL=C sort | while read -r block; do
        case $block in
        *.cpp) set -- "$cxx" -std=c++17 -pedantic ;;
        *) set -- "$cc" -std=gnu11 -Wwrite-strings -Wstrict-prototypes ;;
        esac
        "$@" -Wall -Wextra -Werror -Wno-unused-function -I"$root/include" -fsyntax-only "$block" \
            >"$scratch/log" 2>&1 || sed -n "s,^$scratch/blocks/,,; /error/p" "$scratch/log"
    done
}

planted 'C that does not compile' 'missing' docs/guide/x.md <<'END'
```c
static int f(void) { return missing; }
```
END
planted 'C++ that does not compile' 'error' README.md <<'END'
```cpp
static rill_protocol p = { .size = 1 };
```
END
clean 'a block that needs the headers' docs/guide/x.md <<'END'
```c
static rill_ns f(rill_loop *loop) { return rill_loop_now(loop) + 2 * RILL_S; }
```
END

check_tree
