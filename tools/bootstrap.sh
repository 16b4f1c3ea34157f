# shellcheck shell=sh
# Shared by run, check and .ci/run: finds the packages that are missing, installs them where that
# is allowed, and runs build steps with a log and a time limit. To be sourced, from the top of the
# tree, under `set -eu`. Needs nothing that a minimal Debian lacks.

log_dir=build/logs

say() { printf '%s\n' "$*"; }
die() { # <exit code> <message>
    code=$1
    shift
    say "$*" >&2
    exit "$code"
}

# A package counts as there when dpkg says so or when what we need from it works anyway.
package_present() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed && return 0
    case $1 in
    libc6-dev) echo '#include <stdio.h>' | cc -x c -fsyntax-only - >/dev/null 2>&1 ;;
    libcmocka-dev) pkg-config --exists cmocka 2>/dev/null ;;
    libclang-rt-14-dev)
        echo 'int main(void) { return 0; }' |
            clang -x c -fsanitize=address -o /dev/null - >/dev/null 2>&1 ;;
    dpkg-dev) command -v dpkg-shlibdeps >/dev/null ;;
    netcat-openbsd) command -v nc >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

other_distributions() { # <packages>: how the same things are called elsewhere
    say "On Fedora:  dnf install $(say "$*" | sed 's/g++/gcc-c++/; s/libc6-dev/glibc-devel/
        s/pkg-config/pkgconf/; s/cmocka-dev/cmocka-devel/; s/clang-format/clang-tools-extra/')"
    say "On Alpine:  apk add $(say "$*" | sed 's/libc6-dev/musl-dev/; s/ninja-build/ninja/
        s/pkg-config/pkgconf/; s/libcmocka-dev/cmocka-dev/; s/clang-format/clang-extra-tools/')"
    say "On Arch:    pacman -S $(say "$*" | sed 's/g++ //; s/libc6-dev/glibc/; s/ninja-build/ninja/
        s/pkg-config/pkgconf/; s/libcmocka-dev/cmocka/; s/clang-format/clang/')"
}

apt_install() { # <packages>
    $as_root env DEBIAN_FRONTEND=noninteractive timeout 1200 apt-get install -y -q \
        --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}
apt_update() { $as_root timeout 300 apt-get update -q -o DPkg::Lock::Timeout=120; }

need_packages() { # <packages>: returns with all of them there, or ends the script with code 2
    missing=
    for package in "$@"; do
        package_present "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # a list of package names, to be split
    set -- $missing

    if ! command -v apt-get >/dev/null; then
        say "Missing:    $*" >&2
        other_distributions "$*" >&2
        exit 2
    fi
    as_root=
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null && as_root="sudo -n"
    fi
    if [ "${NO_INSTALL:-0}" = 1 ] || { [ "$(id -u)" != 0 ] && [ -z "$as_root" ]; }; then
        die 2 "Some packages are missing. Paste this, then start again:
  sudo apt-get install -y --no-install-recommends $*"
    fi

    mkdir -p "$log_dir"
    log=$log_dir/packages.log
    : >"$log"
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt_update >>"$log" 2>&1 || true
    apt-get install --print-uris -qq -y --no-install-recommends "$@" 2>/dev/null |
        awk -v names="$*" '{ n++; size += $3 } END {
            printf "Installing %s (%d packages, %.0f MB to fetch)\n", names, n, size / 1e6 }'
    if ! apt_install "$@" >>"$log" 2>&1; then
        apt_update >>"$log" 2>&1 || true # The lists were old: once more with new ones.
        apt_install "$@" >>"$log" 2>&1 || {
            tail -n 30 "$log" >&2
            die 2 "The installation failed; whole log: $PWD/$log"
        }
    fi
}

# Parallel jobs: one for each processor, and one for each GB of free memory.
job_count() {
    free_kb=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null || true)
    jobs=$((${free_kb:-1048576} / 1048576))
    processors=$(nproc)
    [ "$jobs" -le "$processors" ] || jobs=$processors
    [ "$jobs" -ge 1 ] || jobs=1
    say "$jobs"
}

step() { # <name> <limit in seconds> <command...>: runs it into a log, shows the end if it fails
    name=$1 limit=$2 begun=$(date +%s)
    shift 2
    mkdir -p "$log_dir"
    log=$log_dir/$name.log
    printf '%-28s' "$name"
    code=0
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        say "$(($(date +%s) - begun)) s"
        return 0
    fi
    say "FAILED"
    tail -n 30 "$log" >&2
    [ "$code" != 124 ] || say "Stopped after its time limit of $limit s." >&2
    die 1 "$name failed; whole log: $PWD/$log"
}
