#!/bin/sh
# ctest: only without sanitizers
# Builds and runs a stranger's program against an installed rill: in C and C++, with pkg-config and
# CMake, shared and static; and with the source tree as a subproject, which must leak nothing.
# Installs this build into a scratch prefix, or takes the prefix given: consumer.sh /some/prefix
. "$(dirname "$0")/lib.sh"

program=$root/tests/house/consumer
parts=0

part() { # <what> <command...>
    what=$1
    shift
    if ! "$@" >"$scratch/log" 2>&1; then
        echo "FAILED: $what"
        tail -n 30 "$scratch/log"
        exit 1
    fi
    parts=$((parts + 1))
    echo "ok: $what"
}

refused() { ! "$@"; }

needs_shared() { # <program>: 0 when it loads librill.so.N at run time
    readelf -d "$1" | grep -q 'NEEDED.*librill\.so\.[0-9]'
}

cmake_consumer() { # <build folder> <cmake arguments...>
    folder=$scratch/$1
    shift
    cmake -S "$program" -B "$folder" -G Ninja -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_FLAGS=-Werror -DCMAKE_BUILD_TYPE=Release "$@" &&
        cmake --build "$folder" && "$folder/consumer_c" && "$folder/consumer_cc"
}

if [ $# -gt 0 ]; then
    prefix=$(cd "$1" && pwd)
else
    # Moved after installation: nothing in it may remember the first place.
    part 'install' cmake --install "$build" --prefix "$scratch/first"
    prefix=$scratch/elsewhere
    mv "$scratch/first" "$prefix"
fi
find "$prefix" -path '*/rill/*.h' -o -name rill.pc -o -name 'rill*.cmake' >"$scratch/texts"
[ -s "$scratch/texts" ] || skip "nothing is installed in $prefix"
part 'installed files name no place of the build' \
    refused xargs grep -l "$root\|$scratch/first" <"$scratch/texts"

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name rill.pc)")
export PKG_CONFIG_PATH
libraries=$(pkg-config --variable=libdir rill)

# shellcheck disable=SC2046 # compiler flags, to be split
pkg_config_consumer() { # <compiler> <source> <shared or static> <flags...>
    compiler=$1 source=$2 kind=$3
    shift 3
    if [ "$kind" = static ]; then
        "$compiler" "$@" -static -o "$scratch/program" "$program/$source" \
            $(pkg-config --static --cflags --libs rill) &&
            refused needs_shared "$scratch/program" && "$scratch/program"
    else
        "$compiler" "$@" -o "$scratch/program" "$program/$source" \
            $(pkg-config --cflags --libs rill) &&
            needs_shared "$scratch/program" && LD_LIBRARY_PATH=$libraries "$scratch/program"
    fi
}
for kind in shared static; do
    part "pkg-config, C, $kind" pkg_config_consumer "$cc" main.c $kind -std=c11 -Wall -Werror
    part "pkg-config, C++, $kind" pkg_config_consumer "$cxx" main.cc $kind -std=c++17 -Wall -Werror
    part "find_package, $kind" cmake_consumer "cmake-$kind" -DCMAKE_PREFIX_PATH="$prefix" \
        "-DCONSUMER_LIBRARY=rill::$kind"
    case $kind in
    shared) part "rill::shared is shared" needs_shared "$scratch/cmake-shared/consumer_c" ;;
    static) part "rill::static is not" refused needs_shared "$scratch/cmake-static/consumer_c" ;;
    esac
done
part 'find_package, rill::rill' cmake_consumer cmake-default -DCMAKE_PREFIX_PATH="$prefix"

part 'subproject, static' cmake_consumer subproject -DCONSUMER_SUBPROJECT="$root"
part 'subproject, shared' cmake_consumer subproject-shared -DCONSUMER_SUBPROJECT="$root" \
    -DBUILD_SHARED_LIBS=ON
part 'a shared subproject is shared' needs_shared "$scratch/subproject-shared/consumer_c"
part 'a subproject installs nothing' \
    refused grep rill "$scratch/subproject/rill/cmake_install.cmake"

# The self-test of the subproject's leak check: a copy that leaks must be refused.
mkdir "$scratch/leaky"
(cd "$root" && files_in . '*' | tar cf - -T -) | tar xf - -C "$scratch/leaky"
echo 'set(LEAK 1 CACHE STRING "")' >>"$scratch/leaky/CMakeLists.txt"
part 'a leaked cache variable is found' \
    refused cmake_consumer leaky-cache -DCONSUMER_SUBPROJECT="$scratch/leaky"

echo "$parts parts"
