#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run-tests.sh PROGRAM...: runs test programs, as many at once as there are cores (TEST_JOBS), keeps
# the output of each beside it as PROGRAM.log and shows that of the ones that fail. Programs in a
# folder named fuzz get their corpus, fuzz/corpus/NAME, as argument. Reads how many checks passed from
# Check's closing line, "99%: Checks: N, Failures: F, Errors: E"; a program that ends badly without
# telling of a failure, or tells nothing, counts as one failed.
#
# Ends with the line "N passed, N failed" and fails if anything did.
set -u

limit_s=${TEST_TIMEOUT:-1200}
jobs=${TEST_JOBS:-$(nproc 2>/dev/null || echo 1)}

run_one() {
    local program=$1 name log start rc line checks=0 bad=0 corpus=()
    name=$(basename "$program")
    log=$program.log
    case $program in
    */fuzz/*) [ -d "fuzz/corpus/$name" ] && corpus=("fuzz/corpus/$name") ;;
    esac
    start=$(date +%s%N)
    timeout -k 10 "$limit_s" "$program" "${corpus[@]}" >"$log" 2>&1 </dev/null
    rc=$?
    line=$(grep -aE '^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+' "$log" | tail -n 1)
    if [ -n "$line" ]; then
        read -r checks failures errors < <(echo "$line" | tr -c '0-9\n' ' ' |
            awk '{ print $2, $3, $4 }')
        bad=$((failures + errors))
    fi
    if [ "$bad" -eq 0 ] && { [ "$rc" -ne 0 ] || [ -z "$line" ]; }; then
        bad=1
        checks=$((checks + 1))
    fi
    [ "$rc" -eq 124 ] && echo "stopped after $limit_s seconds" >>"$log"
    echo "$((checks - bad)) $bad" >"$program.result"
    if [ "$bad" -eq 0 ]; then
        printf '  ok      %-32s %5d checks %6d ms\n' "$name" "$checks" \
            $((($(date +%s%N) - start) / 1000000))
    else
        printf '  FAILED  %-32s %d of %d (exit status %d), %s\n%s\n' "$name" "$bad" "$checks" "$rc" \
            "$log" "$(grep -av ':P:' "$log" | tail -n "${TEST_LINES:-60}" | sed 's/^/    /')"
    fi
}

passed=0
failed=0
for program in "$@"; do
    rm -f "$program.result"
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    run_one "$program" &
done
wait
for program in "$@"; do
    p=0
    f=1
    [ -f "$program.result" ] && read -r p f <"$program.result"
    passed=$((passed + p))
    failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
