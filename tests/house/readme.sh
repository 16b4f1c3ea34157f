#!/bin/sh
# The first C block of README.md compiles as pasted, with the compile line that the README gives for
# it: the first line in a later block that starts with cc.
. "$(dirname "$0")/lib.sh"

c_block() { # <markdown file>
    awk '/^```c$/ && !seen { inside = seen = 1; next } /^```/ { inside = 0 } inside' "$1"
}
compile_line() { # <markdown file>
    awk '/^```/ { inside = !inside; next } inside && /^(\$ )?cc / { print; exit }' "$1" |
        sed 's/^\$ //'
}

# The build may be instrumented, and then every program that links it must be.
mkdir "$scratch/bin"
cat >"$scratch/bin/cc" <<END
#!/bin/sh
PATH='$PATH' # Not this script's own: the compiler may be called cc, too.
exec $cc ${RILL_CFLAGS:-} -Wall -Wextra -Werror "\$@"
END
chmod +x "$scratch/bin/cc"

check() {
    c_block "$1/README.md" >"$scratch/block.c"
    line=$(compile_line "$1/README.md")
    [ -s "$scratch/block.c" ] || echo "README.md: there is no block of C"
    if [ -z "$line" ]; then
        echo "README.md: there is no compile line"
        return 0
    fi
    source=$(printf '%s\n' "$line" | tr ' ' '\n' | grep -m 1 '\.c$' || true)
    case $source in
    '' | /* | *..*)
        echo "README.md: the compile line names no source file: $line"
        return 0
        ;;
    esac
    rm -rf "$scratch/paste"
    mkdir -p "$scratch/paste/$(dirname "$source")"
    cp "$scratch/block.c" "$scratch/paste/$source"
    (cd "$scratch/paste" && PATH=$scratch/bin:$PATH sh -c "$line") >"$scratch/log" 2>&1 ||
        sed 's/^/README.md: /' "$scratch/log"
}

[ -f "$root/README.md" ] || skip "there is no README.md"
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log" 2>&1 || {
    cat "$scratch/log"
    exit 1
}
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/prefix" -name rill.pc)")
export PKG_CONFIG_PATH

planted 'code that does not compile' 'error' README.md <<'END'
```c
#include <rill/rill.h>
int main(void) { return missing; }
```
```sh
cc -o x x.c $(pkg-config --cflags --libs rill)
```
END
planted 'a block without its compile line' 'no compile line' README.md <<'END'
```c
int main(void) { return 0; }
```
Use cc -o x x.c
END
planted 'code that does not link' 'undefined reference' README.md <<'END'
```c
#include <rill/rill.h>
int main(void) { return rill_version() == 0; }
```
```sh
cc -o x x.c $(pkg-config --cflags rill)
```
END
clean 'a good block' README.md <<'END'
```c
#include <rill/rill.h>
int main(void) { return rill_version() == 0; }
```
```sh
$ cc -o x x.c $(pkg-config --cflags --libs rill)
```
END

check_tree
