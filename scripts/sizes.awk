# SPDX-License-Identifier: MIT
#
# awk -f sizes.awk FILES: functions over 70 lines (between their braces), files over 800, files without
# an SPDX line, and words that say that something is unfinished.
#
# Relies on the format that clang-format gives: a function's braces stand alone in column 1.

FNR == 1 {
    if (NR > 1 && lines > 800) complain(file ": " lines " lines, at most 800")
    file = FILENAME
    start = 0
    if ($0 !~ /SPDX-License-Identifier: MIT/) complain(FILENAME ":1: no SPDX line")
}

{ lines = FNR }

/^{$/ { start = FNR; head = before }
/^}$/ {
    if (start && FNR - start - 1 > 70)
        complain(FILENAME ":" start ": function of " (FNR - start - 1) " lines, at most 70: " head)
    start = 0
}
/TO[D]O|FIX[M]E/ { complain(FILENAME ":" FNR ": unfinished?") }

{ before = $0 }

function complain(what) {
    print what
    bad = 1
}

END {
    if (lines > 800) complain(file ": " lines " lines, at most 800")
    exit bad
}
