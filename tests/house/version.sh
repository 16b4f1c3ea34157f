#!/bin/sh
# The version stands in CMakeLists.txt, in the headers, in the changelog and, as SOVERSION, in the
# symbol map: they agree.
. "$(dirname "$0")/lib.sh"

check() {
    version=$(sed -n 's/^project(rill VERSION \([0-9.]*\).*/\1/p' "$1/CMakeLists.txt")
    soversion=$(sed -n 's/^set(RILL_SOVERSION \([0-9]*\).*/\1/p' "$1/CMakeLists.txt")
    header=$(cat "$1"/include/rill/*.h | awk '
        $2 == "RILL_VERSION_MAJOR" { major = $3 }
        $2 == "RILL_VERSION_MINOR" { minor = $3 }
        $2 == "RILL_VERSION_PATCH" { patch = $3 }
        END { print major "." minor "." patch }')
    [ "$header" = "$version" ] || echo "include/rill: version $header, CMakeLists.txt says $version"
    grep -q "^RILL_$soversion {" "$1/cmake/rill.map" ||
        echo "cmake/rill.map: no node RILL_$soversion, CMakeLists.txt says SOVERSION $soversion"
    newest=$(sed -n 's/^## \[\(.*\)\].*/\1/p' "$1/CHANGELOG.md" | head -n 1)
    [ "$newest" = "$version" ] || [ "$newest" = Unreleased ] ||
        echo "CHANGELOG.md: the newest entry is '$newest', neither Unreleased nor $version"
}

plant_version() { # <pattern, or nothing> <cmake version> <header minor> <map node> <changelog>
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/cmake" "$scratch/tree/include/rill"
    printf 'project(rill VERSION %s LANGUAGES C)\nset(RILL_SOVERSION 0)\n' "$2" \
        >"$scratch/tree/CMakeLists.txt"
    printf '#define RILL_VERSION_MAJOR 0\n#define RILL_VERSION_MINOR %s\n' "$3" \
        >"$scratch/tree/include/rill/x.h"
    printf '#define RILL_VERSION_PATCH 0\n' >>"$scratch/tree/include/rill/x.h"
    echo "$4 {" >"$scratch/tree/cmake/rill.map"
    printf '# Changelog\n\n## [%s]\n\n## [0.0.1]\n' "$5" >"$scratch/tree/CHANGELOG.md"
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ -s "$scratch/complaints" ] || return 0
    else
        grep -q "$1" "$scratch/complaints" && return 0
    fi
    echo "self-test: expected '$1', got:"
    cat "$scratch/complaints"
    exit 1
}
plant_version '' 0.1.0 1 RILL_0 0.1.0
plant_version '' 0.1.0 1 RILL_0 Unreleased
plant_version 'include/rill' 0.1.0 2 RILL_0 0.1.0
plant_version 'no node' 0.1.0 1 RILL_1 0.1.0
plant_version 'newest entry' 0.1.0 1 RILL_0 0.2.0

check_tree
