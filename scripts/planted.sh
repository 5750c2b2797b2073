#!/bin/bash
# SPDX-License-Identifier: MIT
#
# planted.sh: plants the faults of tests/planted one by one into a copy of the sources and runs the tests
# that ought to find each. Called by `make planted`, which sets BUILD, MODE and MAKE.
# PLANTED="03 07" takes only these. `planted.sh check` only looks whether all of them apply, to a copy as well.
#
# A fault is a patch tests/planted/NN-name.patch. Its first line says what it breaks, its second is
# "Found-by: PROGRAM[:CASE] ...". The programs run in that order until one fails, and that one found it.
#
# There is one copy and one tree of objects, build/planted/tree: a fault compiles its file and links its
# programs, no more. A program that fails without a fault finds nothing, so each of them must first pass on
# the clean copy; which binary did is remembered. What does not apply or does not compile is an error.
#
# Ends with "N planted, N found" and fails unless both are the same and there was no error.
set -u

sources=$(pwd)
build=${BUILD:-build}
mode=${MODE:-release}
make=${MAKE:-make}
limit_s=${TEST_TIMEOUT:-200}
tree=$build/planted/tree
log=$build/planted/log
planted=0
found=0
errors=0

# The patches that are asked for.
mapfile -t patches < <(
    for patch in tests/planted/[0-9][0-9]-*.patch; do
        name=${patch##*/}
        case " ${PLANTED:-${name%%-*}} " in *" ${name%%-*} "*) echo "$patch" ;; esac
    done
)
if [ "${#patches[@]}" -eq 0 ]; then
    echo "planted: no such fault: ${PLANTED:-}"
    exit 1
fi

sources_of() {
    (cd "$1" && find Makefile include lib cli fuzz bench tests scripts docs -type f ! -name '*.patch' | sort)
}

# Makes the copy what the sources are. Only what differs is written, so that times tell make what to build.
copy_sources() {
    local file
    mkdir -p "$tree"
    while IFS= read -r file; do
        [ -e "$file" ] || rm -f "$tree/$file"
    done < <(cd "$tree" && find . -path ./build -prune -o -type f -print)
    while IFS= read -r file; do
        cmp -s "$file" "$tree/$file" && continue
        mkdir -p "$tree/${file%/*}"
        cp "$file" "$tree/$file" || exit 1
    done < <(sources_of . | sed 's|^Makefile$|./Makefile|')
}

# apply PATCH [OPTION...]: exactly as written, elsewhere in the file at most.
apply() {
    local patch=$sources/$1
    shift
    (cd "$tree" && patch -p1 -F0 -s -f -r - --no-backup-if-mismatch "$@" <"$patch")
}

# make_programs PROGRAM...
make_programs() {
    "$make" -C "$tree" --no-print-directory BUILD=build MODE="$mode" NEED=no TESTS="$*" tests >"$log" 2>&1
}

# run PROGRAM[:CASE]: its exit status. What it said is in the log; what the shell says of signals is not.
run() {
    local program=${1%%:*} args=()
    [ "$1" != "$program" ] && args=("${1#*:}")
    {
        (cd "$tree" && KVCTL=$PWD/build/$mode/kvctl \
            timeout -k 10 "$limit_s" "build/$mode/tests/$program" "${args[@]}") >"$log" 2>&1 </dev/null
    } 2>/dev/null
}

first_failure() {
    grep -am 1 -E '^[^:]+:[0-9]+:[FE]:' "$log" | cut -d : -f 5
}

# How the finder failed whose output is in the log: by Check's first failure. A program that a signal ended
# says no more; so it runs again, with a process for each test.
failure() {
    local rc=$1 test
    test=$(first_failure)
    if [ "$rc" -eq 124 ]; then
        test="did not end in $limit_s seconds"
    elif [ "$rc" -gt 128 ]; then
        CK_FORK=yes run "$2"
        test="$(first_failure), by signal $((rc - 128))"
    fi
    echo "${test:-exit status $rc}"
}

finders_of() {
    sed -n '2s/^Found-by: *//p' "$1"
}

error() {
    errors=$((errors + 1))
    printf '  ERROR   %s: %s\n' "$1" "$2"
}

# Each finder of a patch on the clean copy.
clean_passes() {
    local finder program sum rc
    for finder in $(finders_of "$1"); do
        program=$tree/build/$mode/tests/${finder%%:*}
        [ -x "$program" ] || return 1
        # What a program links statically is all in it; others run liblmdb.so.
        sum=$(cat "$program" "$tree/build/$mode"/lmdb/liblmdb.so 2>/dev/null | sha256sum)
        [ "$sum" = "$(cat "$build/planted/clean-$mode-$finder" 2>/dev/null)" ] && continue
        run "$finder"
        rc=$?
        if [ "$rc" -ne 0 ]; then
            error "$finder" "fails without a fault ($(failure "$rc" "$finder"))"
            return 1
        fi
        echo "$sum" >"$build/planted/clean-$mode-$finder"
    done
}

# plant PATCH: applies it, builds, runs the finders, takes it back.
plant() {
    local patch=$1 name=${1##*/} finder rc by='' start=$SECONDS
    name=${name%.patch}
    planted=$((planted + 1))
    if ! apply "$patch" >"$log" 2>&1; then
        error "$name" "does not apply"
        sed 's/^/    /' "$log"
        return
    fi
    # shellcheck disable=SC2046 # a list of words
    if ! make_programs $(finders_of "$patch" | sed 's/:[^ ]*//g'); then
        error "$name" "does not compile"
        tail -n 20 "$log" | sed 's/^/    /'
    else
        for finder in $(finders_of "$patch"); do
            run "$finder"
            rc=$?
            [ "$rc" -eq 0 ] && continue
            by="$finder: $(failure "$rc" "$finder")"
            break
        done
        if [ -n "$by" ]; then
            found=$((found + 1))
            printf '  found   %-34s %3d s  %s\n' "$name" $((SECONDS - start)) "$by"
        else
            printf '  MISSED  %-34s %3d s  %s: %s\n' "$name" $((SECONDS - start)) \
                "$(finders_of "$patch")" "$(head -n 1 "$patch")"
        fi
    fi
    apply "$patch" -R >"$log" 2>&1 || error "$name" "cannot be taken back"
}

# The form of each patch, and that it applies.
check_all() {
    local patch finder
    for patch in "${patches[@]}"; do
        apply "$patch" --dry-run >"$log" 2>&1 || error "${patch##*/}" "does not apply: $(head -n 1 "$log")"
        [ -n "$(finders_of "$patch")" ] || error "${patch##*/}" "names no test that finds it"
        for finder in $(finders_of "$patch"); do
            [ -f "tests/${finder%%:*}.c" ] || error "${patch##*/}" "there is no tests/${finder%%:*}.c"
        done
    done
    [ -z "$(printf '%s\n' "${patches[@]}" | sed 's|.*/\(..\)-.*|\1|' | uniq -d)" ] ||
        error tests/planted "two faults of one number"
}

if [ "${1:-}" = check ]; then
    tree=.
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    check_all
    echo "${#patches[@]} planted faults, $errors errors"
    [ "$errors" -eq 0 ]
    exit
fi

copy_sources
# shellcheck disable=SC2046 # a list of words
if ! make_programs $(for p in "${patches[@]}"; do finders_of "$p"; done | tr ' ' '\n' | sed 's/:.*//' | sort -u); then
    echo "planted: the sources do not compile"
    tail -n 20 "$log"
    exit 1
fi
for patch in "${patches[@]}"; do
    clean_passes "$patch"
done
[ "$errors" -eq 0 ] || exit 1
for patch in "${patches[@]}"; do
    plant "$patch"
done
echo "$planted planted, $found found"
[ "$errors" -eq 0 ] && [ "$found" -eq "$planted" ]
