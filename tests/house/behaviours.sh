#!/bin/sh
# tests/BEHAVIOURS.md: behaviours are numbered without a gap, each has a case, and each case that is
# named is in the table of its program. One that does not run on every driver needs a reason there.
. "$(dirname "$0")/lib.sh"

# Lines of "FILE:LINE: complaint" for the list itself; its cases, with their lines, go to $2.
read_list() { # <markdown file> <file for the cases>
    awk -v cases="$2" '
        function finish() {
            if (number != 0 && found == 0)
                printf "tests/BEHAVIOURS.md:%d: behaviour %d has no case\n", line, number
        }
        /^[0-9]+\. / {
            finish()
            if ($1 + 0 != number + 1)
                printf "tests/BEHAVIOURS.md:%d: %d follows %d\n", FNR, $1, number
            number = $1 + 0
            line = FNR
            found = 0
        }
        /^ +- / {
            found++
            if (!match($0, /`[a-z]+\/test_[a-z_]+: test_[a-z0-9_]+`/))
                printf "tests/BEHAVIOURS.md:%d: not `folder/test_program: test_case`\n", FNR
            else
                print FNR, substr($0, RSTART + 1, RLENGTH - 2), \
                    ($0 ~ /` \(.+\)$/ ? "reason" : "none") >cases
        }
        END { finish() }' "$1"
}

# The cases of a program as "NAME all" or "NAME some": on every driver, or not.
cases_of() { # <source>
    some=all
    grep -q '^/\* drivers: ' "$1" && some=some
    sed -n '/^main(/,$p' "$1" | tr '\n' ' ' |
        grep -o -E '(STREAM_CASES|CASE_ON|CASE|cmocka_unit_test[a-z_]*)\([^)]*' |
        sed -E -e 's/^STREAM_CASES\(/all test_/' -e 's/^CASE_ON\(.*, */some /' \
            -e 's/^[A-Za-z_]+\( */all /' |
        while read -r where name; do
            [ "$some" = all ] || where=some
            echo "${name%%,*} $where"
        done
}

check() {
    [ -f "$1/tests/BEHAVIOURS.md" ] || return 0
    : >"$scratch/cases"
    read_list "$1/tests/BEHAVIOURS.md" "$scratch/cases"
    while read -r line program name reason; do
        at=tests/BEHAVIOURS.md:$line
        source=$1/tests/${program%:}.c
        if [ ! -f "$source" ]; then
            echo "$at: there is no tests/${program%:}.c"
            continue
        fi
        case $(cases_of "$source" | sed -n "s/^$name //p" | head -n 1) in
        all) ;;
        some) [ "$reason" = reason ] || echo "$at: $name is not on every driver: why?" ;;
        *) echo "$at: ${program%:} has no case $name" ;;
        esac
    done <"$scratch/cases"
}

list=tests/BEHAVIOURS.md
planted 'a case without its program' 'no tests/core/test_none.c' "$list" <<'END'
1. It does.
   - `core/test_none: test_it`
END
planted 'a gap in the numbers' '3 follows 1' "$list" <<'END'
1. It does.
   - `core/test_none: test_it`
3. It does not.
END
planted 'a behaviour without a case' 'behaviour 1 has no case' "$list" <<'END'
1. It does,
   says the line.
2. It does not.
   - `core/test_none: test_it`
END
planted 'a line of another form' 'not `folder' "$list" <<'END'
1. It does.
   - test_it
END

# With a program, whose table has one case of each kind.
plant_program() { # <pattern> <case of the list> [reason of the list] [first line of the program]
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/tests/core"
    printf '1. It does.\n   - \140core/test_x: %s\140%s\n' "$2" "${3:-}" >"$scratch/tree/$list"
    {
        echo "${4:-/* Purpose. */}"
        echo 'test_gone(void **unused)'
        echo 'main(void)'
        echo '        CASE(test_here), STREAM_CASES(flows),'
        echo '        CASE_ON('
        echo '            "kernel", test_some), cmocka_unit_test(test_plain),'
    } >"$scratch/tree/tests/core/test_x.c"
    check "$scratch/tree" >"$scratch/complaints"
    if [ -z "$1" ]; then
        [ -s "$scratch/complaints" ] || return 0
    else
        grep -q "$1" "$scratch/complaints" && return 0
    fi
    echo "self-test: expected '$1' for $2, got:"
    cat "$scratch/complaints"
    exit 1
}
plant_program '' test_here
plant_program '' test_flows
plant_program '' test_plain
plant_program '' test_some ' (kernel: it takes two)'
plant_program 'why?' test_some
plant_program 'why?' test_here '' '/* drivers: epoll */'
plant_program 'has no case test_gone' test_gone
plant_program 'has no case test_her$' test_her

check_tree
