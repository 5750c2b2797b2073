#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint.sh: every check that needs no run of the code. Called by `make lint`, which sets BUILD and MAKE.
# All checks run, whatever the earlier ones found; each finding is a line, and the last line counts the
# checks as the tests do. LINT="name ..." runs only these.
set -u

export KV_CPPFLAGS="${KV_CPPFLAGS:--Iinclude -Ilib -D_GNU_SOURCE=}"
build=${BUILD:-build}/lint
make=${MAKE:-make}
jobs=$(nproc 2>/dev/null || echo 1)
mkdir -p "$build"
passed=0
failed=0

mapfile -t lib_files < <(find lib -name '*.[ch]' | sort)
mapfile -t seen_files < <(find cli bench fuzz -name '*.[ch]' 2>/dev/null | sort)
mapfile -t all_files < <(find include lib cli bench fuzz tests -name '*.[ch]' 2>/dev/null | sort)
mapfile -t checked_sources < <(find lib cli -name '*.c' | sort)

# check NAME COMMAND...: runs it, shows what it says only if it fails.
check() {
    local name=$1
    shift
    case " ${LINT:-$name} " in *" $name "*) ;; *) return ;; esac
    if "$@" >"$build/$name.log" 2>&1; then
        passed=$((passed + 1))
        printf '  ok      %s\n' "$name"
    else
        failed=$((failed + 1))
        printf '  FAILED  %s\n' "$name"
        grep -vE '^  (CC|AR|LD) ' "$build/$name.log" | tail -n "${LINT_LINES:-100}" | sed 's/^/    /'
    fi
}

layers() {
    awk -f scripts/layers.awk "${lib_files[@]}" "${seen_files[@]}"
}

sizes() {
    awk -f scripts/sizes.awk "${all_files[@]}"
}

format() {
    local bad
    bad=$(clang-format --dry-run "${all_files[@]}" 2>&1 | sed -n 's/:[0-9]*:[0-9]*: warning.*//p' |
        sort | uniq -c)
    [ -z "$bad" ] && return 0
    echo "places that differ from .clang-format (make format writes them anew):"
    echo "$bad"
    return 1
}

# The header on its own: in the C that users may have, and in C++.
header() {
    local flags="-fsyntax-only -Wall -Wextra -Wpedantic -Werror -Iinclude"
    # shellcheck disable=SC2086 # a list of words
    echo '#include "kv.h"' | gcc $flags -std=c99 -x c - &&
        echo '#include "kv.h"' | clang $flags -std=c11 -x c - &&
        echo '#include "kv.h"' | g++ $flags -std=c++11 -x c++ - &&
        echo '#include "kv.h"' | clang++ $flags -std=c++17 -x c++ -
}

warnings() {
    "$make" -k --no-print-directory BUILD="$build/$1" CC="$1" WERROR=1 all lmdb tests benches
}

# Only names of ours are global: others might clash with a user's.
symbols() {
    local archive=$build/gcc/release/libkv.a library=$build/gcc/release/libkv.so bad
    [ -f "$archive" ] && [ -f "$library" ] || return 1
    bad=$(nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^kvi?_/ { print $3 }')
    bad=$bad$(nm -D --defined-only "$library" | awk '$2 != "A" && $3 !~ /^kv_/ { print $3 }')
    if [ -n "$bad" ]; then
        echo "foreign global symbols:"
        echo "$bad"
        return 1
    fi
    # Or a program that loads one of them late may not get it: dlopen has little of that memory.
    if readelf -d "$library" "$build/gcc/release/lmdb/liblmdb.so" | grep -q STATIC_TLS; then
        echo "thread-local variables that must be there from the start (initial-exec)"
        return 1
    fi
}

# What kv.h declares and what the library exports are the same.
exports() {
    local library=$build/gcc/release/libkv.so
    gcc -E -P -Iinclude include/kv.h | tr '\n' ' ' | grep -oE '\bkv_[a-z_0-9]+ ?\(' |
        tr -d ' (' | grep -vE '_fn$' | sort -u >"$build/declared"
    nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
        sort -u >"$build/exported"
    diff "$build/declared" "$build/exported" | sed -n 's/^</declared, not exported:/p
        s/^>/exported, not declared:/p' | grep . && return 1
    return 0
}

# The names of a header's functions.
functions_of() {
    gcc -E -P "$@" | tr '\n' ' ' | grep -oE '\bmdb_[a-z_0-9]+ ?\(' | tr -d ' (' | sort -u
}

# The drop-in exports what lmdb.h declares, which is all that the genuine library exports but for its
# inside names; and each of these functions is called by a program that runs on both.
lmdb() {
    local library=$build/gcc/release/lmdb/liblmdb.so genuine
    genuine=$(gcc -print-file-name=liblmdb.so)
    echo '#include <lmdb.h>' | functions_of -x c - >"$build/lmdb-declared"
    nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u >"$build/lmdb-exported"
    nm -D --defined-only "$genuine" | awk '$3 !~ /^mdb_(midl|mid2l)_/ { print $3 }' |
        sort -u >"$build/lmdb-genuine"
    cat tests/lmdb/*.c | grep -oE '\bmdb_[a-z_0-9]+ ?\(' | tr -d ' (' | sort -u >"$build/lmdb-called"
    [ -s "$build/lmdb-declared" ] && [ -s "$build/lmdb-exported" ] || return 1
    {
        diff "$build/lmdb-declared" "$build/lmdb-exported" | sed -n 's/^</not exported:/p
            s/^>/exported, not declared:/p'
        diff "$build/lmdb-genuine" "$build/lmdb-exported" | sed -n 's/^</only genuine:/p
            s/^>/not genuine:/p'
        comm -23 "$build/lmdb-declared" "$build/lmdb-called" | sed 's/^/in no tests\/lmdb: /'
    } | grep . && return 1
    return 0
}

tidy() {
    # shellcheck disable=SC2016 # for the inner shell
    printf '%s\n' "${checked_sources[@]}" | xargs -P "$jobs" -n 4 sh -c '
        out=$(clang-tidy --quiet "$@" -- -std=c11 $KV_CPPFLAGS $(pkg-config --cflags json-c 2>/dev/null) \
            2>&1) || { echo "$out" | grep -A 2 "error:"; exit 1; }' sh
}

static_check() {
    cppcheck --quiet -j "$jobs" --std=c11 --error-exitcode=1 --inline-suppr \
        --enable=warning,performance,portability --suppressions-list=scripts/cppcheck.txt \
        -D_GNU_SOURCE -D__cppcheck__ -D__x86_64__ -D__GLIBC__ -Iinclude -Ilib lib cli
}

# A fault that does not apply any more is a fault that nobody looks for.
planted() {
    scripts/planted.sh check
}

shell() {
    ! command -v shellcheck >/dev/null || shellcheck scripts/*.sh .ci/run
}

check layers layers
check sizes sizes
check format format
check header header
check planted planted
check warnings-gcc warnings gcc
check warnings-clang warnings clang
check symbols symbols
check exports exports
check lmdb lmdb
check clang-tidy tidy
check cppcheck static_check
check shellcheck shell
echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
