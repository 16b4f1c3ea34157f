#!/bin/sh
# ctest: no
# The first five minutes of a newcomer: a minimal Debian 12 root, a copy of this tree, ./run and
# ./check in it, as root and as an ordinary user; then the real .deb files. Needs root, debootstrap
# and the network; the mirror is the one that this machine's apt is configured with.
#
#   sh tests/house/bare_debian.sh [folder]    a folder that has been used before is used again
. "$(dirname "$0")/lib.sh"

suite=bookworm
[ "$(id -u)" = 0 ] || skip "needs root"
command -v debootstrap >/dev/null || skip "needs debootstrap"
# shellcheck disable=SC2016 # apt's own variables
targets='$(SITE) $(RELEASE) $(COMPONENT)'
debian_sources() { # <label>
    apt-get indextargets --format "$targets" 'Created-By: Packages' 'Origin: Debian' \
        "Label: $1" "Codename: $2" 2>/dev/null | sort -u
}
mirror=$(debian_sources Debian "$suite" | sed -n '1s/ .*//p')
[ -n "$mirror" ] || skip "apt has no source of Debian $suite"

# The mounts live in a namespace of their own and go with it.
if [ "${RILL_BARE_INSIDE:-}" != 1 ]; then
    RILL_BARE_INSIDE=1 RILL_SOURCE=$root unshare --mount sh "$0" "$@"
    exit
fi

bare=${1:-$scratch/root}
if [ ! -e "$bare/etc/debian_version" ]; then
    echo "== a minimal Debian in $bare"
    mkdir -p "$bare"
    debootstrap --variant=minbase "$suite" "$bare" "$mirror" >"$scratch/log" 2>&1 || {
        tail -n 20 "$scratch/log"
        exit 1
    }
fi
{
    debian_sources Debian "$suite"
    debian_sources Debian-Security "$suite-security"
} | sed 's/^/deb /' >"$bare/etc/apt/sources.list"
apt-config dump Acquire | grep -i '::proxy' >"$bare/etc/apt/apt.conf.d/90proxy" || true
cp /etc/resolv.conf /etc/hosts "$bare/etc/"
# A namespace without this would pass the mounts on to the rest of the machine.
mount --make-rprivate /
mount -t proc proc "$bare/proc"
mount -t tmpfs tmpfs "$bare/dev/shm"

rm -rf "$bare/tree"
mkdir "$bare/tree"
(cd "$root" && files_in . '*' | tar cf - -T -) | tar xf - -C "$bare/tree"

inside() { # <user> <command...>
    user=$1
    shift
    chroot --userspec="$user" "$bare" env -i HOME=/tmp LANG=C PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        NO_INSTALL="${NO_INSTALL:-0}" sh -c 'cd /tree && exec "$@"' sh "$@"
}
expect() { # <exit code> <what> <command...>
    wanted=$1 what=$2 begun=$(date +%s) code=0
    shift 2
    echo "== $what"
    "$@" || code=$?
    echo "== $what: exit code $code, $(($(date +%s) - begun)) s"
    [ "$code" = "$wanted" ] || exit 1
}

if ! inside root sh -c 'command -v cmake' >/dev/null; then
    chown -R nobody "$bare/tree"
    expect 2 'an ordinary user without sudo is told what to paste' inside nobody:nogroup ./run
    chown -R root "$bare/tree"
    NO_INSTALL=1 expect 2 'NO_INSTALL=1 installs nothing' inside root ./check
fi
expect 0 './run as root' inside root ./run
expect 0 './run again' inside root ./run
expect 0 './check as root' inside root ./check

rm -rf "$bare/tree/build"
chown -R nobody "$bare/tree"
expect 0 './check as an ordinary user' inside nobody:nogroup ./check
chown -R root "$bare/tree"

expect 0 'the packages are made' inside root cmake --workflow --preset package
expect 0 'and installed' inside root sh -c 'dpkg -i build/package/packages/*.deb'
expect 0 'a program finds them' inside root sh tests/house/consumer.sh /usr
expect 0 'and removed' inside root dpkg -r librill-dev librill0
