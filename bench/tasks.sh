#!/bin/sh
# What tasks cost, beside Python's asyncio, Go's goroutines and tokio, in one interleaved run.
#
#     bench/tasks.sh DIRECTORY [ROUNDS]
#
# DIRECTORY holds the built binaries. A Markdown table of nanoseconds of CPU per operation, medians
# over the rounds (default 5), and how many times rill's each rival's is; then instructions per
# operation, by callgrind. Rivals that are not installed (python3, golang-go, librust-tokio-dev) are
# left out by name.
set -eu

[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2; exit 2; }
directory=$(cd "$1" && pwd)
rounds=${2:-5}
source=$(cd "$(dirname "$0")" && pwd)/tasks
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

who=rill
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    who="$who asyncio"
else
    echo "tasks: asyncio is left out (python3 of 3.11 or newer)" >&2
fi
if command -v go >/dev/null; then
    (cd "$source" && GOCACHE=$scratch/cache GO111MODULE=off go build -o "$scratch/go" go_tasks.go)
    who="$who go"
else
    echo "tasks: Go is left out (golang-go)" >&2
fi

crates=/usr/share/cargo/registry # Debian's
if [ -x /usr/bin/cargo ] && find "$crates" -maxdepth 1 -name 'tokio-[0-9]*' | grep -q .; then
    cp -r "$source/tokio_tasks" "$scratch"
    mkdir "$scratch/tokio_tasks/.cargo"
    printf '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "%s"\n' \
        "$crates" >"$scratch/tokio_tasks/.cargo/config.toml"
    (cd "$scratch/tokio_tasks" && RUSTC=/usr/bin/rustc /usr/bin/cargo build -q --release --offline)
    who="$who tokio"
else
    echo "tasks: tokio is left out (librust-tokio-dev, cargo)" >&2
fi

run() { # <who>: lines of name and nanoseconds
    case $1 in
    rill) taskset -c 0 "$directory/tasks" ;;
    asyncio) taskset -c 0 python3 "$source/asyncio_tasks.py" ;;
    go) taskset -c 0 "$scratch/go" ;;
    tokio) taskset -c 0 "$scratch/tokio_tasks/target/release/tokio_tasks" ;;
    esac
}

for round in $(seq "$rounds"); do
    for name in $who; do
        echo "tasks: round $round of $rounds, $name" >&2
        run "$name" | sed "s/^/$name /" >>"$scratch/cells"
    done
    taskset -c 0 "$directory/switch" | sed "s/^/rill /" >>"$scratch/cells"
done

sort -k1,2 -k3,3n "$scratch/cells" | awk -v who="$who" '
    function median(key,    n) { n = count[key]; return cells[key, int((n + 1) / 2)] }
    {
        key = $1 SUBSEP $2
        cells[key, ++count[key]] = $3
        if (!($2 in known)) { known[$2] = 1; names[++total] = $2 }
    }
    END {
        columns = split(who, column, " ")
        printf "| ns of CPU per operation |"
        for (i = 1; i <= columns; i++) printf " %s |", column[i]
        printf "\n|---|"
        for (i = 1; i <= columns; i++) printf "--:|"
        for (n = 1; n <= total; n++) {
            rill = median("rill" SUBSEP names[n])
            printf "\n| %s |", names[n]
            for (i = 1; i <= columns; i++) {
                key = column[i] SUBSEP names[n]
                if (!count[key]) printf " – |"
                else if (i == 1) printf " %.1f |", median(key)
                else printf " %.0f (%.1fx) |", median(key), median(key) / rill
            }
        }
        printf "\n"
    }'

if [ "$(awk '$1 == "MemAvailable:" { print int($2 / 1024 / 1024) }' /proc/meminfo)" -ge 6 ]; then
    printf '\n| a million suspended tasks | rill |\n|---|--:|\n'
    "$directory/memory" | sed 's/^\(.*\) \(.*\)$/| \1 | \2 |/'
else
    echo "tasks: the million is left out (6 GiB of memory)" >&2
fi

command -v valgrind >/dev/null || exit 0
counted() { # <program> <arguments before the number>: instructions of one operation
    for n in 100000 200000; do
        valgrind --tool=callgrind --callgrind-out-file="$scratch/counts" "$@" "$n" \
            >/dev/null 2>"$scratch/log"
        awk '$1 == "totals:" { print $2 }' "$scratch/counts"
    done | awk 'NR == 1 { few = $1 } END { printf "%.0f\n", ($1 - few) / 100000 }'
}
printf '\n| instructions per operation | rill |\n|---|--:|\n'
printf '| switch | %s |\n' "$(counted "$directory/switch")"
for name in yield await-ready spawn spawn-eager timeout future generator; do
    printf '| %s | %s |\n' "$name" "$(counted "$directory/tasks" "$name")"
done
