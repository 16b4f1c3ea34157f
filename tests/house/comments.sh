#!/bin/sh
# Every public function has a comment directly above it: its contract. Only a macro that wraps the
# function may stand between, or another function that the same comment covers, without a blank
# line. A file begins with a comment that says what it is for.
. "$(dirname "$0")/lib.sh"

cat >"$scratch/comments.awk" <<'AWK'
FNR == 1 {
    above = ""
    in_comment = in_macro = in_statement = 0
}

in_comment {
    if ($0 ~ /\*\//) {
        in_comment = 0
        above = "comment"
    }
    next
}
in_macro || (!in_statement && /^[ \t]*#/) {
    in_macro = $0 ~ /\\$/
    # A macro may stand between a comment and its function, another directive may not.
    if (!in_macro_kept && $0 !~ /^[ \t]*#[ \t]*define/)
        above = ""
    in_macro_kept = in_macro
    next
}
!in_statement && /^[ \t]*\/\*/ {
    if ($0 !~ /\*\//)
        in_comment = 1
    else
        above = "comment"
    next
}
!in_statement && /^[ \t]*$/ {
    above = ""
    next
}
!in_statement && /^(RILL_BEGIN|RILL_END|extern "C" \{|\})/ {
    above = ""
    next
}
!in_statement {
    in_statement = 1
    statement = ""
    depth = 0
    line = FNR
}
in_statement {
    text = $0
    gsub(/\/\*([^*]|\*[^\/])*\*\//, "", text)
    statement = statement " " text
    opened = gsub(/\{/, "{", text)
    closed = gsub(/\}/, "}", text)
    depth += opened - closed
    if (depth > 0 || (text !~ /;[ \t]*$/ && !(closed > 0 && text ~ /\}[ \t]*$/)))
        next
    in_statement = 0
    sub(/\{.*/, "", statement)
    sub(/^ */, "", statement)
    if (statement !~ /^(typedef|struct|enum|union) [^(]*$/ && statement !~ /^typedef/ &&
        match(statement, /rill_[a-z0-9_]+\(/)) {
        name = substr(statement, RSTART, RLENGTH - 1)
        if (above != "comment")
            printf "%s:%d: %s has no comment directly above it\n", FILENAME, line, name
    } else {
        above = ""
    }
}
AWK

check() {
    (
        cd "$1"
        headers=$(files_in . 'include/rill/*.h')
        # shellcheck disable=SC2086 # a list of files, to be split
        [ -z "$headers" ] || awk -f "$scratch/comments.awk" $headers
    )
    for file in $(files_in "$1" 'include/rill/*.h' 'core/*.[ch]' 'dns/*.[ch]' 'transports/*.[ch]' \
        'restart/*.[ch]' 'ssl/*.[ch]' 'tasks/*.[ch]' 'protocols/*.[ch]' 'examples/*.c' \
        'tests/*.c'); do
        head -n 1 "$1/$file" | grep -q '^/\*' || echo "$file:1: does not begin with its purpose"
    done
}

header=include/rill/x.h
planted 'a bare function' 'rill_one has no comment' "$header" <<'END'
/* Purpose. */
#include <stddef.h>

RILL_API int rill_one(int a,
    int b);
END
planted 'a blank line after the comment' 'rill_two has no comment' "$header" <<'END'
/* Purpose. */

/* Not directly above. */

RILL_API int rill_two(void);
END
planted 'a function below a type and its comment' 'rill_four has no comment' "$header" <<'END'
/* Only for the type. */
typedef struct rill_three rill_three;
RILL_API int rill_four(void);
END
planted 'an uncommented inline function' 'rill_five has no comment' "$header" <<'END'
/* Purpose. */

static inline int
rill_five(int a)
{
    if (a)
        return 1;
    return 0;
}
END
planted 'a file without purpose' 'does not begin' core/x.c <<'END'
#include <stddef.h>
END
clean 'good declarations' "$header" <<'END'
/* Purpose. */
#ifndef X_H
#define X_H
RILL_BEGIN
typedef void (*rill_fn)(void *arg);
typedef struct rill_options {
    int (*rill_hook)(int a); /* Not a function of ours. */
} rill_options;

/*
 * Several
 * lines.
 */
RILL_API int rill_a(
    int a);

/* With its macro. */
#define rill_b(x) \
    rill_b_site(x, "here")
RILL_API int rill_b_site(int x, const char *site);

/* Two in one. */
RILL_API void rill_pause(void);
RILL_API void rill_resume(void);

/* Inline. */
static inline int
rill_c(void)
{
    return rill_b(1);
}
RILL_END
#endif
END

check_tree
