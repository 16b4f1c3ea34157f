#!/bin/sh
# Every shell script parses in its own shell and passes shellcheck; those that users start must run
# in dash.
. "$(dirname "$0")/lib.sh"

check() {
    : >"$scratch/in-sh"
    : >"$scratch/in-bash"
    files_in "$1" '*' | while read -r file; do
        case $(head -n 1 "$1/$file" | tr -d '\000') in
        '#!/bin/sh' | '# shellcheck shell=sh'*) echo "$file" >>"$scratch/in-sh" ;;
        '#!/usr/bin/env bash' | '#!/bin/bash') echo "$file" >>"$scratch/in-bash" ;;
        esac
    done
    for shell in sh bash; do
        command -v "$shell" >/dev/null || continue
        while read -r file; do
            "$shell" -n "$1/$file" >"$scratch/errors" 2>&1 ||
                echo "$file: $shell: $(head -n 1 "$scratch/errors")"
        done <"$scratch/in-$shell"
        command -v shellcheck >/dev/null || continue
        (cd "$1" && xargs -r shellcheck -x -s "$shell" -f gcc <"$scratch/in-$shell") || true
    done
}

planted 'a syntax error' 'x.sh' tools/x.sh <<'END'
#!/bin/sh
if true; then
END
clean 'a good script' tools/x.sh <<'END'
#!/bin/sh
set -eu
echo "$1"
END
if command -v shellcheck >/dev/null; then
    planted 'a bashism' 'x.sh' tools/x.sh <<'END'
#!/bin/sh
[[ -n "$1" ]] && echo yes
END
fi

check "$root" >"$scratch/complaints"
if [ -s "$scratch/complaints" ]; then
    cat "$scratch/complaints"
    exit 1
fi
command -v shellcheck >/dev/null || skip "shellcheck is not installed; only the syntax was checked"
