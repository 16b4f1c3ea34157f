#!/bin/sh
# pipeline PROGRAM: as the shell's own pipeline; much input; a program that is not there.
set -eu
. "$(dirname "$0")/testing.sh"

printf 'b\na\nb\nc\nb\n' >"$scratch/few"
seq 1 20000 | sed 's/..$//' >"$scratch/many"
: >"$scratch/none"
for input in few many none; do
    sort "$scratch/$input" | uniq -c >"$scratch/expected"
    timeout 50 "$1" <"$scratch/$input" >"$scratch/seen" 2>"$scratch/said" ||
        fail "$input: $(cat "$scratch/said")"
    cmp "$scratch/expected" "$scratch/seen" || fail "$input: another output than the shell's"
done
printf 'b\na\n' | timeout 50 "$1" 2>"$scratch/said" >"$scratch/seen"
expect "the count" "4 bytes went through" "$(cat "$scratch/said")"

code=0
PATH=/nowhere "$1" </dev/null 2>"$scratch/said" || code=$?
expect "the code without programs" 1 "$code"
expect "what is said of them" "pipeline: No such file or directory" "$(cat "$scratch/said")"
