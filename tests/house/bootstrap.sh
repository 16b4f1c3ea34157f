#!/bin/sh
# tools/bootstrap.sh against a made-up system: what it installs, when it refuses, what it says. The
# commands that it asks are replaced by scripts which read and write files in a scratch folder.
. "$(dirname "$0")/lib.sh"

[ "$(wc -l <"$root/tools/bootstrap.sh")" -le 120 ] || {
    echo "tools/bootstrap.sh has more than 120 lines"
    exit 1
}

fake=$scratch/bin
mkdir "$fake"
script() { # <name>, its text on standard input
    { echo '#!/bin/sh' && cat; } >"$fake/$1"
    chmod +x "$fake/$1"
}
for tool in awk cat date env grep mkdir nproc rm sed tail timeout; do
    ln -s "$(command -v $tool)" "$fake/$tool"
done
ln -s /bin/true "$fake/true" # Where it is a builtin, command -v knows no path.
script ls <<'END'
[ -e "$SYSTEM/lists" ]
END
script id <<'END'
cat "$SYSTEM/uid"
END
script dpkg-query <<'END'
for last; do :; done
grep -qx "$last" "$SYSTEM/installed" && echo installed
END
script sudo <<'END'
[ "$1" = -n ] && shift
[ -e "$SYSTEM/sudo" ] || exit 1
[ "$1" = true ] || echo "sudo" >>"$SYSTEM/calls"
exec "$@"
END
script apt-get <<'END'
case "$*" in
*--print-uris*) echo "'uri' file 1000000 hash" && exit ;;
esac
echo "apt-get $*" >>"$SYSTEM/calls"
case $1 in
update) rm -f "$SYSTEM/stale" ;;
install)
    [ ! -e "$SYSTEM/stale" ] || exit 100
    for package; do echo "$package" >>"$SYSTEM/installed"; done
    ;;
esac
END

# A new system: root or not, with what there is.
system() { # <uid> <files to create...>
    rm -rf "$scratch/system" "$scratch/place"
    mkdir "$scratch/system" "$scratch/place"
    echo "$1" >"$scratch/system/uid"
    shift
    : >"$scratch/system/installed"
    : >"$scratch/system/calls"
    for name in "$@"; do : >"$scratch/system/$name"; done
}
ask() { # <exit code> <pattern that the output matches> <shell text>
    code=0
    (
        cd "$scratch/place"
        SYSTEM=$scratch/system PATH=$fake /bin/sh -eu -c ". $root/tools/bootstrap.sh; $3"
    ) >"$scratch/out" 2>&1 || code=$?
    if [ "$code" != "$1" ] || ! grep -q -e "$2" "$scratch/out"; then
        echo "'$3': expected code $1 and '$2', got code $code and:"
        cat "$scratch/out"
        exit 1
    fi
}
calls() { # <number> <pattern>: so many calls that match were made
    found=$(grep -c -e "$2" "$scratch/system/calls" || true)
    [ "$found" = "$1" ] && return 0
    echo "expected $1 calls of '$2', found $found in:"
    cat "$scratch/system/calls"
    exit 1
}

# Nothing missing: neither apt nor the network.
system 0 lists
echo thing >"$scratch/system/installed"
ask 0 '^done$' 'need_packages thing; echo done'
calls 0 .

# A tool that works counts, whoever installed it.
ask 0 '^done$' 'need_packages awk; echo done'
calls 0 .

# Root with fresh lists: one install, without recommendations, with a lock time-out, no update.
system 0 lists
ask 0 '^Installing thing (1 packages, 1 MB to fetch)$' 'need_packages thing; echo done'
calls 1 'install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 thing'
calls 0 update

# Root without lists: update first. With stale ones: update and once more.
system 0
ask 0 '^done$' 'need_packages thing; echo done'
calls 1 update
system 0 lists stale
ask 0 '^done$' 'need_packages thing; echo done'
calls 2 install
calls 1 update

# Not root: sudo where it asks nothing, else the line to paste.
system 1000 lists sudo
ask 0 '^done$' 'need_packages thing; echo done'
calls 1 sudo
system 1000 lists
ask 2 '^  sudo apt-get install -y --no-install-recommends thing other$' 'need_packages thing other'
calls 0 .

# NO_INSTALL=1 refuses even root.
system 0 lists
ask 2 '^  sudo apt-get install' 'NO_INSTALL=1; need_packages thing'
calls 0 .

# Another distribution: names to look for.
mv "$fake/apt-get" "$scratch/apt-get"
ask 2 '^On Fedora:  dnf install gcc gcc-c++ libcmocka-devel$' \
    'need_packages gcc g++ libcmocka-dev'
mv "$scratch/apt-get" "$fake/apt-get"

# A step: its time, its failure with the end of the log, its time limit.
ask 0 '^quiet  *[0-9]* s$' 'step quiet 5 env true'
ask 1 'broken failed; whole log: .*/place/build/logs/broken.log' \
    'step broken 5 /bin/sh -c "echo the reason; exit 3"'
ask 1 '^the reason$' 'step broken 5 /bin/sh -c "echo the reason; exit 3"'
ask 1 'after its time limit of 1 s' 'step stuck 1 /bin/sleep 20'
ask 0 '^[1-9][0-9]*$' job_count
