#!/bin/sh
# Words that have no place in the tree: notes to oneself, paths of somebody's machine, and sleeping
# in tests, which must wait for what they need. A sleep that is the subject of a test says why in a
# comment on its line or the one above: /* sleep: reason */
. "$(dirname "$0")/lib.sh"

# In pieces, so that this file does not accuse itself.
notes='TO''DO|FIX''ME|XX''X|HA''CK'
paths='/ho''me/[a-z]|/ro''ot/|/wo''rk/|/Us''ers/'

check() {
    files_in "$1" '*' | grep -v '\.\(png\|svg\|ico\)$' | while read -r file; do
        grep -n -I -w -E "$notes" "$1/$file" | sed "s,^\([0-9]*\):.*,$file:\1: a note to oneself,"
        grep -n -I -E "$paths" "$1/$file" | sed "s,^\([0-9]*\):.*,$file:\1: a machine's path,"
        case $file in
        tests/*.c)
            awk -v file="$file" '
                /(^|[^a-z_])(sleep|usleep|nanosleep|clock_nanosleep)[ \t]*\(/ &&
                    ($0 previous) !~ /\/\* sleep: / {
                        print file ":" FNR ": a test that sleeps" }
                { previous = $0 }' "$1/$file"
            ;;
        esac
    done
}

echo "/* TO""DO: later */" >"$scratch/note"
planted 'a note to oneself' 'a note' core/x.c <"$scratch/note"
echo "see /ho""me/me/x" >"$scratch/path"
planted 'a path' "a machine's path" docs/x.md <"$scratch/path"
echo 'int f(void) { return usleep(10); }' >"$scratch/sleep"
planted 'a sleep' 'a test that sleeps' tests/core/x.c <"$scratch/sleep"
clean 'a sleep with its reason' tests/core/x.c <<'END'
/* sleep: the loop must see a late turn. */
int f(void) { return usleep(10); }
END
echo "mktemp -d x.XXXXXX HACKING.md TODOS" >"$scratch/innocent"
clean 'a longer word' tools/x.sh <"$scratch/innocent"

check_tree
