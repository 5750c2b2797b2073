#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test-clients.sh LMDB_DIR KVCTL WORK_DIR [CLIENT...]: programs that Debian made for LMDB, first with the genuine
# library and then with the drop-in of LMDB_DIR, by LD_LIBRARY_PATH. Each client is a script of tests/clients
# that works in an empty folder of its own and ends with "N passed, N failed"; with the genuine library all
# must pass, and with the drop-in as many.
#
# Packages are fetched and unpacked under WORK_DIR, with what they depend on and is not installed: nothing
# is installed and no service is started. A client whose packages cannot be had has failed.
#
# Ends with the line "N passed, N failed" and fails if anything did.
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
drop_in=$(readlink -f "$1")/liblmdb.so.0
kvctl=$(readlink -f "$2")
work=$(mkdir -p "$3" && readlink -f "$3")
shift 3
root=$work/root
limit_s=${TEST_TIMEOUT:-300}
passed=0
failed=0

# client NAME PROGRAM PACKAGE...: what there is. PROGRAM finds the packages' files under $CLIENT_ROOT.
clients() {
    client lmdb-utils lmdb_utils.sh lmdb-utils
    client postmap postmap.sh postfix postfix-lmdb
    client python3-lmdb python_lmdb.sh python3-minimal python3-lmdb
    client liblmdb-file-perl perl_lmdb.sh perl liblmdb-file-perl
    client php-dba php_dba.sh php8.2-cli php8.2-dba
    client keymgr keymgr.sh knot-dnssecutils knot
    client pdnsutil pdnsutil.sh pdns-server pdns-backend-lmdb
}

# ---- Packages

# wanted PACKAGE...: names those of them, and of what they depend on, that are not installed.
wanted() {
    apt-get -s -qq install --no-install-recommends "$@" 2>"$work/apt.log" |
        sed -n 's/^Inst \([^ ]*\).*/\1/p'
    return "${PIPESTATUS[0]}"
}

# unpack PACKAGE: fetches a package, unless that was done, and unpacks it.
unpack() {
    [ -e "$work/unpacked/$1" ] && return 0
    mkdir -p "$work/debs/$1" "$work/unpacked" "$root"
    (cd "$work/debs/$1" && rm -f ./*.deb && apt-get download -qq "$1") >>"$work/apt.log" 2>&1 &&
        dpkg-deb -x "$work/debs/$1"/*.deb "$root" 2>>"$work/apt.log" && : >"$work/unpacked/$1"
}

fetch_once() {
    local names name
    names=$(wanted "$@") || return 1
    for name in $names; do
        unpack "${name%%:*}" || return 1
    done
}

# fetch PACKAGE...: sees to it that the packages are installed or unpacked; fetches the package lists if it takes
# that, which may be missing or older than what the servers have.
fetch() {
    fetch_once "$@" && return 0
    echo "  fetching the package lists"
    apt-get update -qq >>"$work/apt.log" 2>&1
    fetch_once "$@"
}

# ---- Runs

# count FILE: how many passed and failed, by its last line.
count() {
    grep -aoE '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -n 1 | awk '{ print $1, $3 }'
}

# run NAME PROGRAM LIBRARY: sets good, bad and log.
run() {
    local folder=$work/run/$1 start rc
    log=$work/$1-$(basename "$(dirname "$3")").log
    rm -rf "$folder"
    mkdir -p "$folder"
    start=$(date +%s%N)
    (
        cd "$folder" || exit 1
        export CLIENT_ROOT=$root CLIENT_LIBRARY=$3 CLIENT_SCRIPTS=$here/tests/clients LC_ALL=C.UTF-8
        export LD_LIBRARY_PATH KVCTL=$kvctl GENUINE_LIBRARY=$genuine
        LD_LIBRARY_PATH=$(dirname "$3"):$root/usr/lib:$root/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH 2>/dev/null ||
            echo "$(uname -m)-linux-gnu")
        exec timeout -k 5 "$limit_s" bash "$here/tests/clients/$2"
    ) >"$log" 2>&1 </dev/null
    rc=$?
    took_ms=$((($(date +%s%N) - start) / 1000000))
    good=0
    bad=0
    read -r good bad < <(count "$log") || :
    [ "$rc" -ne 0 ] && [ "${bad:-0}" -eq 0 ] && bad=1
    [ "${good:-0}" -eq 0 ] && [ "${bad:-0}" -eq 0 ] && bad=1
    rm -rf "$folder"
}

# report NAME WHICH
report() {
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        printf '  ok      %-20s %-8s %5d checks %6d ms\n' "$1" "$2" "$good" "$took_ms"
    else
        printf '  FAILED  %-20s %-8s %d of %d, %s\n%s\n' "$1" "$2" "$bad" $((good + bad)) "$log" \
            "$(tail -n "${TEST_LINES:-60}" "$log" | sed 's/^/    /')"
    fi
}

# missing NAME WHY
missing() {
    failed=$((failed + 1))
    printf '  FAILED  %-20s %s\n%s\n' "$1" "$2" "$(tail -n 5 "$work/apt.log" | sed 's/^/    /')"
}

client() {
    local name=$1 program=$2 wanted_checks
    shift 2
    case " ${only:-$name} " in *" $name "*) ;; *) return ;; esac
    fetch "$@" || {
        missing "$name" "cannot be had from Debian: $*"
        return
    }
    run "$name" "$program" "$genuine"
    wanted_checks=$good
    report "$name" genuine
    run "$name" "$program" "$drop_in"
    if [ "$bad" -eq 0 ] && [ "$good" -ne "$wanted_checks" ]; then
        echo "$good checks, with the genuine library $wanted_checks" >>"$log"
        bad=1
    fi
    report "$name" drop-in
}

# The genuine library in a folder of its own, so that the same variable chooses either.
genuine_library() {
    local found
    fetch liblmdb0 || return 1
    found=$(ldconfig -p 2>/dev/null | sed -n 's/.*liblmdb\.so\.0 .*=> //p' | head -n 1)
    [ -n "$found" ] || found=$(find "$root" -name liblmdb.so.0 | head -n 1)
    [ -n "$found" ] || return 1
    mkdir -p "$work/genuine"
    cp -L "$found" "$work/genuine/liblmdb.so.0"
    genuine=$work/genuine/liblmdb.so.0
}

only=$*
: >"$work/apt.log"
if genuine_library; then
    clients
else
    missing liblmdb0 "the genuine library cannot be had from Debian"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
