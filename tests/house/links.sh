#!/bin/sh
# Relative links in the Markdown files lead somewhere.
. "$(dirname "$0")/lib.sh"

check() {
    files_in "$1" '*.md' | while read -r file; do
        # Code blocks are no links.
        awk '/^ *```/ { code = !code; next } !code' "$1/$file" |
            grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//; s/#.*//; s/ ".*//' |
            while read -r link; do
                case $link in
                '' | http:* | https:* | mailto:*) continue ;;
                /*) target=$1$link ;;
                *) target=$1/$(dirname "$file")/$link ;;
                esac
                [ -e "$target" ] || echo "$file: nothing at $link"
            done
    done
}

planted 'a dead link' 'nothing at missing.md' docs/x.md <<'END'
See [this](missing.md#part).
END
clean 'good links' docs/x.md <<'END'
See [this](x.md#part), [that](https://example.org/) and [the part](#part).
END

check_tree
