#!/bin/sh
# Sizes and layout that clang-format does not judge: functions of at most 70 lines, files of at most
# 800, lines of at most 100 columns, no tabs, no blanks at the end; a source file of the library
# opens with a comment of 5 to 15 lines.
. "$(dirname "$0")/lib.sh"

cat >"$scratch/shape.awk" <<'AWK'
function fail(text) { printf "%s:%d: %s\n", FILENAME, FNR, text }

function end_of_file() {
    if (last > 800)
        printf "%s: %d lines, 800 is the limit\n", previous, last
    if (comment_open)
        printf "%s: the opening comment does not end\n", previous
}

FNR == 1 {
    end_of_file()
    is_c = FILENAME ~ /\.([ch]|cpp)$/
    is_library = FILENAME ~ /^(core|dns|transports|restart|ssl|tasks|protocols|workers)\/.*\.c$/
    comment_open = is_library
    head = start = 0
}

{
    previous = FILENAME
    last = FNR
}

{
    text = $0
    gsub(/[\200-\277]/, "", text) # The later bytes of a UTF-8 character take no column.
    if (length(text) > 100)
        fail(length(text) " columns, 100 is the limit")
}
/[ \t]$/ { fail("blanks at the end of the line") }
is_c && /\t/ { fail("a tab") }

comment_open && (FNR > 1 || /^\/\*/) {
    if (/\*\//) {
        comment_open = 0
        if (FNR < 5 || FNR > 15)
            fail("the opening comment has " FNR " lines; 5 to 15 say what the file owns, its" \
                " invariants and its thread rule")
    }
}
comment_open && FNR == 1 && !/^\/\*/ {
    comment_open = 0
    fail("the file does not open with a comment")
}

# A definition: the line with its name in column 0, then braces in column 0.
is_c && !start && /^[A-Za-z_].*\(/ && !/;[ \t]*$/ { head = FNR }
is_c && /^[^ \t].*;[ \t]*$/ { head = 0 }
is_c && /^\{/ && head { start = head }
is_c && /^\}/ && start {
    if (FNR - start + 1 > 70)
        printf "%s:%d: this function has %d lines, 70 is the limit\n", FILENAME, start, \
            FNR - start + 1
    start = head = 0
}

END { end_of_file() }
AWK

check() {
    (
        cd "$1"
        files=$(files_in . '*.[ch]' '*.cpp' '*.sh' '*.awk' '*.cmake' '*CMakeLists.txt' run check \
            .ci/run)
        # shellcheck disable=SC2086 # a list of files, to be split
        [ -z "$files" ] || LC_ALL=C awk -f "$scratch/shape.awk" $files
    )
}

opening='/*
 * Owns this.
 *
 * Thread: any.
 */'
function_of() { # <lines>
    awk -v lines="$1" -v opening="$opening" 'BEGIN {
        print opening "\n\nstatic int\nrill__x(int a,\n    int b)\n{"
        for (i = 0; i < lines - 5; i++)
            print "    a++;"
        print "    return a;\n}" }'
}
function_of 71 >"$scratch/long.c"
function_of 70 >"$scratch/fits.c"
planted 'a function of 71 lines' 'has 71 lines' core/x.c <"$scratch/long.c"
clean 'a function of 70 lines' core/x.c <"$scratch/fits.c"
awk 'BEGIN { for (i = 0; i < 801; i++) print "/* */" }' >"$scratch/long.h"
planted 'a file of 801 lines' '801 lines' include/rill/x.h <"$scratch/long.h"
awk 'BEGIN { printf "/*"; for (i = 0; i < 97; i++) printf "x"; print "*/" }' >"$scratch/wide.h"
planted 'a line of 101 columns' '101 columns' include/rill/x.h <"$scratch/wide.h"
printf '/* x */\tint a;\n' >"$scratch/tab.h"
planted 'a tab' 'a tab' include/rill/x.h <"$scratch/tab.h"
printf '/* x */ \n' >"$scratch/blank.h"
planted 'a blank at the end' 'blanks at the end' include/rill/x.h <"$scratch/blank.h"
awk 'BEGIN { printf "/*"; for (i = 0; i < 96; i++) printf "\303\251"; print "*/" }' \
    >"$scratch/accents.h"
clean 'a line of 100 columns in more bytes' include/rill/x.h <"$scratch/accents.h"
echo '/* Short. */' >"$scratch/short.c"
planted 'a short opening comment' '5 to 15' transports/x.c <"$scratch/short.c"
clean 'a short one in a test' tests/core/x.c <"$scratch/short.c"

check_tree
