#!/bin/bash
# SPDX-License-Identifier: MIT
#
# model.sh DIR: checks the models of models/ with spin, exhaustively within the bounds below, then
# changes each in ways that must be found. Works in DIR. Prints states and results, ends with the
# line "N passed, N failed" and fails if anything did. See docs/MODEL.md.
set -u

models=$(cd "$(dirname "$0")/../models" && pwd) || exit 1
work=$1
passed=0
failed=0
limit_s=${MODEL_TIMEOUT:-600}
limit_mb=${MODEL_MB:-4000}

# run MODEL DEFINE...: prints what the checker says: "none STATES", "error STATES" or "unfinished STATES".
run() {
    local model=$1 dir=$work/run states errors
    shift
    rm -rf "$dir" && mkdir -p "$dir" || return 1
    (cd "$dir" && spin -a "$@" "$models/$model.pml" >spin.log 2>&1 &&
        ${CC:-gcc} -O2 -w -DSAFETY -DCOLLAPSE -DNOCLAIM "-DMEMLIM=$limit_mb" -o pan pan.c &&
        timeout "$limit_s" ./pan -m1000000 -w22 >out 2>&1)
    states=$(awk '/states, stored/ { print $1 }' "$dir/out" 2>/dev/null)
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$dir/out" 2>/dev/null)
    if grep -qE '^pan:1: (assertion violated|invalid end state)' "$dir/out" 2>/dev/null; then
        echo "error ${states:-0} $(sed -n 's/^pan:1: //p' "$dir/out" | tail -n 1)"
    elif [ "${errors:-1}" != 0 ] ||
        grep -qE 'search not completed|max search depth too small|reached -DMEMLIM' "$dir/out"; then
        echo "unfinished ${states:-0}"
    else
        echo "none $states"
    fi
}

# expect none|error NAME MODEL DEFINE...
expect() {
    local wanted=$1 name=$2 got start=$SECONDS
    shift 2
    got=$(run "$@")
    if [ "${got%% *}" = "$wanted" ]; then
        passed=$((passed + 1))
        printf '  ok      %-28s' "$name"
    else
        failed=$((failed + 1))
        printf '  FAILED  %-28s' "$name"
    fi
    printf ' %4d s  %s\n' $((SECONDS - start)) "$got"
}

mkdir -p "$work" || exit 1
echo "The protocol: no error"
expect none pin-and-scan readers -DSNAPS=3 -DLIVES=2 -DDEATHS=1 -DPINS=1
expect none two-stops durable -DTX=3 -DSYNCS=0 -DSTOPS=2 -DDEATHS=0
expect none death-and-stop durable -DTX=2 -DSYNCS=1 -DSTOPS=1 -DDEATHS=1
expect none close-and-lost-lock-file durable -DTX=2 -DSYNCS=0 -DCLOSES=1 -DDEATHS=1 -DLOSSES=1

echo "Changed: an error"
small="-DSNAPS=3 -DLIVES=2 -DDEATHS=1 -DPINS=1"
for change in WORD_AFTER_OWNER CLEAR_LIVING; do
    # shellcheck disable=SC2086 # a list of words
    expect error "$change" readers $small "-D$change"
done
for change in NO_FENCE NO_LOOK SLOTS_FIRST ANNOUNCED_LAST NO_ANNOUNCE NO_RECHECK; do
    expect error "$change" readers "-D$change"
done
expect error NO_FLUSH durable -DTX=1 -DSYNCS=0 -DDEATHS=0 -DNO_FLUSH
expect error NO_FLUSH_FIRST durable -DTX=3 -DSYNCS=0 -DLAZY -DDEATHS=0 -DNO_FLUSH_FIRST

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
