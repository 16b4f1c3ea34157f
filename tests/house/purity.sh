#!/bin/sh
# What each object file needs from outside: only core/driver meets the kernel, only the files named
# in tools/allowed_symbols use the allocator and the mutex, and no floor calls a higher one (an
# #include check alone would miss a prototype written by hand).
#
# tools/allowed_symbols/FOLDER.txt holds one symbol a line, and after it the files that may use it,
# if it is not free for the whole folder. A symbol tied to files is closed to all others of its
# folder; one tied to memory.c to the whole library, core/driver included, where the rest is free.
. "$(dirname "$0")/lib.sh"

cat >"$scratch/purity.awk" <<'AWK'
function folder_of(object,    parts) {
    split(object, parts, "/")
    return parts[1]
}

function base_of(object,    name) {
    name = object
    sub(/^.*\//, "", name)
    sub(/\.o$/, "", name)
    return name
}

# Instrumentation that the compiler adds, and glibc's other names for the same function.
function plain(symbol) {
    if (symbol ~ /^__(asan|ubsan|tsan|gcov|llvm|sanitizer|odr_asan|stack_chk_fail|start_|stop_)/ ||
        symbol ~ /^(_GLOBAL_OFFSET_TABLE_|__tls_get_addr|mangle_path)$/)
        return ""
    if (symbol ~ /^__.*_chk$/) {
        sub(/^__/, "", symbol)
        sub(/_chk$/, "", symbol)
    }
    sub(/^__isoc(99|23)_/, "", symbol)
    return symbol
}

BEGIN {
    split("core dns transports restart ssl tasks protocols workers", floors, " ")
    for (i in floors)
        rank[floors[i]] = i + 0
}

FILENAME == "-" {
    # nm -A output: object:value type name
    object = $1
    sub(/:.*/, "", object)
    type = $(NF - 1)
    if (type == "U" || type == "w")
        needs[object, $NF] = 1
    else if (type ~ /[TDBRGSCVW]/)
        home[$NF] = object
    next
}

/^[a-zA-Z_]/ {
    folder = FILENAME
    sub(/^.*\//, "", folder)
    sub(/\.txt$/, "", folder)
    allowed[folder, $1] = NF == 1
    for (i = 2; i <= NF; i++) {
        allowed[folder, $1, $i] = 1
        if ($i == "memory.c")
            allocator[$1] = 1
    }
}

END {
    for (key in needs) {
        split(key, pair, SUBSEP)
        object = pair[1]
        symbol = plain(pair[2])
        if (symbol == "")
            continue
        folder = folder_of(object)
        driver = object ~ /^core\/driver\//
        if (symbol in home) {
            if (rank[folder_of(home[symbol])] > rank[folder])
                print object ": calls " symbol " of a higher floor, " home[symbol]
        } else if (symbol in allocator) {
            if (object != "core/memory.c.o")
                print object ": uses " symbol ", which only core/memory.c may"
        } else if (!driver && symbol !~ /^rill_/ && !allowed[folder, symbol] &&
            !allowed[folder, symbol, base_of(object)]) {
            print object ": uses " symbol ", which tools/allowed_symbols/" folder \
                ".txt does not allow it"
        }
    }
}
AWK

check() {
    objects=$1/objects
    [ -d "$objects" ] || objects=$build/CMakeFiles/rill_objects.dir
    (
        cd "$objects"
        find . -name '*.o' -exec nm -A {} + 2>/dev/null | sed 's,^\./,,'
    ) | awk -f "$scratch/purity.awk" "$1"/tools/allowed_symbols/*.txt - | LC_ALL=C sort
}

[ -d "$build/CMakeFiles/rill_objects.dir" ] || skip "the library is not built in $build"
rm -rf "$scratch/tree"
mkdir -p "$scratch/tree/tools/allowed_symbols" "$scratch/tree/objects"
printf '# Text\nmemcpy\nmalloc memory.c\nfputs report.c error.c\n' \
    >"$scratch/tree/tools/allowed_symbols/core.txt"
printf 'memcpy\n' >"$scratch/tree/tools/allowed_symbols/transports.txt"
plant_object() { # <pattern of the complaint, or nothing> <object> <C code>
    mkdir -p "$scratch/tree/objects/$(dirname "$2")"
    echo "$3" | "$cc" -w -fno-builtin -c -x c -o "$scratch/tree/objects/$2" -
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ ! -s "$scratch/complaints" ] && return 0
    else
        if grep -q "$1" "$scratch/complaints"; then
            rm "$scratch/tree/objects/$2"
            return 0
        fi
    fi
    echo "self-test: expected '$1' for $2, got:"
    cat "$scratch/complaints"
    exit 1
}
plant_object '' core/memory.c.o 'int rill__alloc() { return malloc(1); }'
plant_object '' core/driver/epoll.c.o 'int rill__wait() { return epoll_wait(1); }'
plant_object '' transports/tcp.c.o \
    'int rill__tcp() { memcpy(); return rill__alloc() + rill__wait(); }'
plant_object 'uses malloc, which only core/memory.c' core/loop.c.o 'int f() { return malloc(1); }'
plant_object 'uses malloc, which only' transports/unix.c.o 'int f() { return malloc(1); }'
plant_object 'uses malloc, which only' core/driver/sim.c.o 'int f() { return malloc(1); }'
plant_object 'uses read, which tools' core/loop.c.o 'int f() { return read(1); }'
plant_object 'uses send, which tools' transports/unix.c.o 'int f() { return send(1); }'
plant_object '' core/error.c.o 'int rill__say() { return fputs(1); }'
plant_object 'uses fputs, which tools' core/loop.c.o 'int f() { return fputs(1); }'
plant_object 'uses fputs, which tools' transports/unix.c.o 'int f() { return fputs(1); }'
plant_object 'calls rill__tcp of a higher floor' core/loop.c.o 'int f() { return rill__tcp(); }'

check_tree
