#!/bin/sh
# SPDX-License-Identifier: MIT
#
# coverage.sh DIR: lines of lib/ and cli/ that the tests reached, by file, lowest first, from the objects
# and counts that a build with MODE=cov left in DIR. Both builds of the library count together.
set -eu

find "$1/obj" "$1/small" -name '*.gcda' \( -path '*/lib/*' -o -path '*/cli/*' \) 2>/dev/null |
    while read -r counts; do
        gcov -t "$counts" 2>/dev/null
    done |
    awk -F: '
        $2 + 0 == 0 && $3 == "Source" { file = $4 }
        file !~ /^(lib|cli)\// { next }
        { line = file ":" ($2 + 0); mark = $1; gsub(/[ *]/, "", mark) }
        $2 + 0 == 0 || mark == "-" { next }
        { known[line] = file; if (mark !~ /^[#=]/) hit[line] = 1 }
        END {
            for (l in known) { total[known[l]]++; all++; if (l in hit) { got[known[l]]++; sum++ } }
            for (f in total) printf "%6.1f %%  %5d lines  %s\n", 100 * got[f] / total[f], total[f], f
            if (all) printf "  all: %5.1f %% of %d lines\n", 100 * sum / all, all
        }' | sort -n -k 1,1 -s
