#!/bin/sh
# Which file may include which: each floor only itself and the floors below; public headers only
# public headers and libc's; examples, demo and benchmarks only public headers of ours.
. "$(dirname "$0")/lib.sh"

cat >"$scratch/layering.awk" <<'AWK'
function fail(text) { printf "%s:%d: %s\n", file, line, text }

# "a/b/../c/./d" -> "a/c/d"
function normal(path,    part, n, i, out, depth) {
    n = split(path, part, "/")
    depth = 0
    for (i = 1; i <= n; i++) {
        if (part[i] == "" || part[i] == ".")
            continue
        if (part[i] == ".." && depth > 0)
            depth--
        else
            out[++depth] = part[i]
    }
    path = ""
    for (i = 1; i <= depth; i++)
        path = path (i > 1 ? "/" : "") out[i]
    return path
}

function exists(path) { return path in tree }

function floor_of(path,    top) {
    top = path
    sub(/\/.*/, "", top)
    return top in rank ? rank[top] : 0
}

function check_quoted(name,    target, own) {
    target = normal(folder "/" name)
    if (!exists(target))
        target = normal(name)
    if (!exists(target))
        target = "include/" normal(name)
    if (!exists(target)) {
        fail("\"" name "\" is not in the tree")
        return
    }
    own = floor_of(file)
    if (file ~ /^include\// && target !~ /^include\//)
        fail("a public header includes " target)
    else if (file ~ /^(examples|bench|tools)\// && floor_of(target) > 0)
        fail("only public headers may be included here, not " target)
    else if (own > 0 && floor_of(target) > own)
        fail(target " is on a higher floor")
    else if (own > 0 && floor_of(target) == 0 && target !~ /^include\//)
        fail("the library includes " target)
    if (target ~ /^core\/driver\/[^\/]+\// && file !~ /^core\/driver\//)
        fail(target " belongs to one driver; include core/driver/driver.h")
}

function check_angled(name) {
    if (name ~ /^rill\//) {
        if (!exists("include/" name))
            fail("<" name "> is not in the tree")
    } else if (file ~ /^include\//) {
        if (name !~ public_system)
            fail("<" name "> is no header of the C library that a public header may pull in")
    } else if (floor_of(file) > 0) {
        if (name ~ kernel && file !~ /^core\/driver\//)
            fail("<" name "> belongs to core/driver")
        else if (name ~ /^openssl\// && file !~ /^ssl\//)
            fail("<" name "> belongs to ssl")
        else if (name ~ /^ares/ && file !~ /^dns\//)
            fail("<" name "> belongs to dns")
        else if (name ~ /^llhttp/ && file !~ /^protocols\/http/)
            fail("<" name "> belongs to protocols/http")
    }
}

BEGIN {
    split("core dns transports restart ssl tasks protocols workers", floors, " ")
    for (i in floors)
        rank[floors[i]] = i + 0
    public_system = "^(std(arg|bool|def|int)|inttypes|limits|sys/(types|socket|uio))[.]h$"
    kernel = "^(linux/|sys/(epoll|eventfd|signalfd|timerfd|inotify|sendfile|syscall|ioctl)[.]h)"
    while ((getline path < listing) > 0)
        tree[path] = 1
    while ((getline file < sources) > 0) {
        folder = file
        sub(/\/?[^\/]*$/, "", folder)
        line = 0
        while ((getline text < (root "/" file)) > 0) {
            line++
            if (text !~ /^[ \t]*#[ \t]*include[ \t]*["<]/)
                continue
            name = text
            sub(/^[^"<]*["<]/, "", name)
            sub(/[">].*/, "", name)
            if (text ~ /include[ \t]*"/)
                check_quoted(name)
            else
                check_angled(name)
        }
        close(root "/" file)
    }
}
AWK

check() {
    files_in "$1" '*' >"$scratch/listing"
    floors='core|dns|transports|restart|ssl|tasks|protocols|workers'
    grep -E "^(include|$floors|examples|bench|tools)/.*\.[ch]\$" \
        "$scratch/listing" >"$scratch/sources" || true
    awk -v root="$1" -v listing="$scratch/listing" -v sources="$scratch/sources" \
        -f "$scratch/layering.awk"
}

# The trees for these need two files, the included one besides the culprit.
plant_pair() { # <pattern> <includer> <include line> <included>
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/$(dirname "$2")" "$scratch/tree/$(dirname "$4")"
    echo '/* Empty. */' >"$scratch/tree/$4"
    printf '%s\n' "$3" >"$scratch/tree/$2"
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ ! -s "$scratch/complaints" ] && return 0
        echo "self-test: $2 may include $4, but:"
    else
        grep -q "$1" "$scratch/complaints" && return 0
        echo "self-test: $2 may not include $4"
    fi
    cat "$scratch/complaints"
    exit 1
}
up='../'
plant_pair 'higher floor' core/loop.c '#include "transports/tcp.h"' transports/tcp.h
plant_pair 'higher floor' core/loop.c "#include \"${up}ssl/filter.h\"" ssl/filter.h
plant_pair 'higher floor' transports/tcp.c '  #  include "tasks/task.h"' tasks/task.h
plant_pair 'higher floor' transports/tcp.c '#include "workers/x.h"' workers/x.h
plant_pair '' transports/tcp.c '#include "core/loop.h"' core/loop.h
plant_pair '' workers/worker.c '#include "transports/server.h"' transports/server.h
plant_pair '' transports/tcp.c '#include "core/driver/driver.h"' core/driver/driver.h
plant_pair 'one driver' transports/tcp.c '#include "core/driver/sim/sim.h"' core/driver/sim/sim.h
plant_pair 'public header' include/rill/loop.h '#include "core/loop.h"' core/loop.h
plant_pair '' include/rill/loop.h '#include <rill/base.h>' include/rill/base.h
plant_pair 'not in the tree' include/rill/loop.h '#include <rill/bare.h>' include/rill/base.h
plant_pair 'only public' examples/echo.c '#include "core/loop.h"' core/loop.h
plant_pair 'only public' bench/echo.c "#include \"${up}core/loop.h\"" core/loop.h
plant_pair 'the library includes' core/loop.c '#include "tests/support/x.h"' tests/support/x.h
planted 'an epoll header' 'belongs to core/driver' transports/tcp.c <<'END'
#include <sys/epoll.h>
END
planted 'an OpenSSL header' 'belongs to ssl' transports/tcp.c <<'END'
#include <openssl/ssl.h>
END
planted 'a system header in a public one' 'no header of the C library' include/rill/x.h <<'END'
#include <netinet/in.h>
END
clean 'epoll in a driver' core/driver/epoll/epoll.c <<'END'
#include <sys/epoll.h>
END

check_tree
