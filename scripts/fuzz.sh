#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fuzz.sh SECONDS PROGRAM...: runs each libFuzzer program for so long on a working copy of its corpus,
# fuzz/corpus/NAME, and puts back what reached new code, minimised. A crash stops everything and leaves
# its input in fuzz/crashes.
set -eu

seconds=$1
shift
for program in "$@"; do
    name=$(basename "$program")
    mkdir -p "fuzz/corpus/$name" "$program.work" fuzz/crashes
    echo "$name: $seconds s"
    "$program" -max_total_time="$seconds" -print_final_stats=0 -verbosity=0 -timeout=20 \
        -artifact_prefix="fuzz/crashes/$name-" "$program.work" "fuzz/corpus/$name"
    "$program" -merge=1 -verbosity=0 "fuzz/corpus/$name" "$program.work" >/dev/null 2>&1
    echo "$name: $(find "fuzz/corpus/$name" -type f | wc -l) inputs in its corpus"
done
rmdir fuzz/crashes 2>/dev/null || true
