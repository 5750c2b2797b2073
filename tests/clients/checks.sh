#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the shell scripts of this folder share. Checks say what holds, and are counted; `finish` prints the
# counts and is the exit status.
passed=0
failed=0

# check WHAT COMMAND...: the command succeeds.
check() {
    local what=$1
    shift
    if "$@" >check.out 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not so: $what: $*"
        head -n 20 check.out
    fi
}

# equal WHAT GOT WANTED: two texts are the same.
equal() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'not so: %s\n got:    %.1000s\n wanted: %.1000s\n' "$1" "$2" "$3"
    fi
}

# refused WHAT STATUS TEXT COMMAND...: the command ends with this status, and its output has this text.
refused() {
    local what=$1 status=$2 text=$3 got
    shift 3
    "$@" >check.out 2>&1
    got=$?
    if [ "$got" -eq "$status" ] && { [ -z "$text" ] || grep -qF -- "$text" check.out; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not so: $what: $*: status $got, wanted $status and '$text'"
        head -n 20 check.out
    fi
}

# uses_library COMMAND...: prints the file that the dynamic linker takes for liblmdb in that command.
uses_library() {
    LD_DEBUG=libs "$@" 2>&1 </dev/null | sed -n 's/.*trying file=\(.*liblmdb\.so[^ ]*\)$/\1/p' |
        while read -r file; do [ -e "$file" ] && readlink -f "$file"; done | sort -u
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
