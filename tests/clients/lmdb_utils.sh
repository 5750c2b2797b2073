#!/bin/bash
# SPDX-License-Identifier: MIT
#
# mdb_load, mdb_dump, mdb_copy, mdb_stat. Where they use the shared library (CLIENT_TOOLS may name a folder with
# such ones): on tables of every kind, dumps come out as they went in, figures are those of LMDB, and what is
# refused says so in LMDB's words. Debian 12 has them with an LMDB of their own inside: there they meet a
# database of libkv's, which they refuse and leave alone, and records go over by dumps and by kvctl import.
# shellcheck source=checks.sh
. "$CLIENT_SCRIPTS/checks.sh"
PATH=${CLIENT_TOOLS:+$CLIENT_TOOLS:}$PATH:$CLIENT_ROOT/usr/bin

# section NAME FLAGS: the header of a dump; records follow.
section() {
    echo VERSION=3
    echo format=bytevalue
    [ -n "$1" ] && echo "database=$1"
    echo type=btree
    echo mapsize=16777216
    echo maxreaders=126
    for flag in $2; do echo "$flag=1"; done
    echo HEADER=END
}

# dump OPTION...: without a line that mdb_load does not know.
dump() {
    mdb_dump "$@" | grep -v '^db_pagesize='
}

# records COUNT KEY_FORMAT VALUE_FORMAT: in hexadecimal, in order.
records() {
    awk -v n="$1" -v k="$2" -v v="$3" 'BEGIN {
        for (i = 0; i < n; i++) { printf " " k "\n", i; printf " " v "\n", i * 7 }
    }'
}

# pairs KEYS VALUES KEY_FORMAT VALUE_FORMAT
pairs() {
    awk -v n="$1" -v m="$2" -v k="$3" -v v="$4" 'BEGIN {
        for (i = 0; i < n; i++) for (j = 0; j < m; j++) { printf " " k "\n", i; printf " " v "\n", j }
    }'
}

# Integers of 4 bytes, as they lie in memory.
integers() {
    awk -v n="$1" 'BEGIN {
        for (i = 0; i < n; i++) {
            printf " %02x%02x%02x00\n", i % 256, int(i / 256) % 256, int(i / 65536)
            printf " %08x\n", i
        }
    }'
}

# ---- Tools with a library of their own

foreign() {
    mkdir ours theirs copied
    { section "" ""; records 500 %06x %04x; echo DATA=END; } >main.in
    for table in a b; do
        { section $table "dupsort"; pairs 20 30 %04x %08x; echo DATA=END; } >$table.in
    done
    cat main.in a.in b.in | "$KVCTL" load -q ours/data.mdb
    cp ours/data.mdb before
    refused "mdb_stat meets ours" 1 "MDB_" mdb_stat -e ours
    refused "mdb_dump meets ours" 1 "MDB_" mdb_dump ours
    refused "mdb_copy meets ours" 1 "MDB_" mdb_copy ours copied
    refused "mdb_load meets ours" 1 "MDB_" mdb_load -f main.in ours
    check "which nobody changed" cmp ours/data.mdb before
    check "and is sound" "$KVCTL" check ours/data.mdb
    mdb_load -f main.in theirs
    mdb_load -f a.in -s a theirs
    mdb_load -f b.in -s b theirs
    cp theirs/data.mdb before
    if "$KVCTL" import --library "$GENUINE_LIBRARY" theirs over.mdb; then
        for table in a b; do
            mdb_dump -s $table theirs | sed '1,/HEADER=END/d' >theirs.out
            "$KVCTL" dump -t $table over.mdb | sed '1,/HEADER=END/d' >over.out
            check "table $table came over" cmp theirs.out over.out
        done
    fi
    check "theirs is as it was" cmp theirs/data.mdb before
    mkdir back
    "$KVCTL" dump ours/data.mdb | mdb_load back
    dump back | sed '1,/HEADER=END/d' >back.out
    sed '1,/HEADER=END/d' main.in | cmp - back.out >cmp.out
    equal "a dump of ours loads" "$(cat cmp.out)" ""
    cp theirs/lock.mdb lock
    refused "kvctl meets theirs" 3 "not a libkv database" "$KVCTL" stat theirs/data.mdb
    check "and leaves it" cmp theirs/data.mdb before
    check "with its lock file" cmp theirs/lock.mdb lock
}

if [ -z "$(uses_library mdb_stat -V)" ]; then
    foreign
    finish
    exit
fi

for tool in mdb_load mdb_dump mdb_copy mdb_stat; do
    equal "$tool uses the library under test" "$(uses_library "$tool" -V)" "$(readlink -f "$CLIENT_LIBRARY")"
    check "$tool -V" sh -c "$tool -V | grep -q 'LMDB 0.9'"
done

# ---- Tables of every kind, through load and dump

roundtrip() {
    local name=$1 flags=$2
    { section "$name" "$flags"; cat; echo DATA=END; } >"$name.in"
    mkdir "$name.env"
    check "load $name" mdb_load -f "$name.in" -s "$name" "$name.env"
    check "dump $name to a file" mdb_dump -f "$name.file" -s "$name" "$name.env"
    dump -s "$name" "$name.env" >"$name.out"
    check "dump of $name is what was loaded" cmp "$name.in" "$name.out"
    if mdb_load 2>&1 | grep -q -- '-a'; then
        check "load $name, appending" sh -c "mkdir $name.a; mdb_load -a -f $name.in -s $name $name.a"
        dump -s "$name" "$name.a" >"$name.out2"
        check "which gives the same" cmp "$name.in" "$name.out2"
    fi
    equal "entries of $name" "$(mdb_stat -s "$name" "$name.env" | sed -n 's/ *Entries: //p')" \
        "$((($(wc -l <"$name.in") - $(sed -n '/HEADER=END/=' "$name.in") - 1) / 2))"
}

roundtrip plain "" < <(records 3000 %08x %016x)
roundtrip empty-values "" < <(records 300 %08x "")
roundtrip long "" < <(records 200 %0200x %01000x)
roundtrip very-long "" < <(records 3 %08x %0100000x)
roundtrip pairs "duplicates dupsort" < <(pairs 40 90 %04x %08x)
roundtrip fixed "duplicates dupsort dupfixed" < <(pairs 40 90 %04x %08x)
roundtrip one-key "duplicates dupsort" < <(pairs 1 3000 %04x %016x)
roundtrip integers "integerkey" < <(integers 3000)
roundtrip integer-values "duplicates dupsort dupfixed integerdup" < <(pairs 3 200 %02x %02x000000)
roundtrip reverse "reversekey" < <(awk 'BEGIN { for (i = 0; i < 250; i++) { printf " 61%02x\n 62\n", i } }')
roundtrip reverse-values "duplicates dupsort reversedup" < <(
    awk 'BEGIN { for (i = 0; i < 250; i++) { printf " 6b\n 61%02x\n", i } }')

# ---- The main table, several tables, files without a folder

{ section "" ""; records 500 %06x %04x; echo DATA=END; } >main.in
check "load the main table" mdb_load -n -f main.in main.mdb
check "a file and its lock" test -f main.mdb -a -f main.mdb-lock
dump -n main.mdb >main.out
check "as it was loaded" cmp main.in main.out
check "load without overwriting" mdb_load -n -N -f main.in main.mdb
mdb_load -n piped.mdb <main.in
dump -n piped.mdb >piped.out
check "read by a pipe" cmp piped.out main.in
mkdir many
for name in b a c; do
    { section "$name" ""; records 100 %04x %04x; echo DATA=END; } | mdb_load many
done
equal "named tables are listed" "$(mdb_dump -l many | tr '\n' ' ')" "a b c "
equal "and in one dump" "$(mdb_dump -a many | grep -c '^database=')" 3
equal "stat of all" "$(mdb_stat -a many | grep -c '^Status of')" 4
refused "a missing table" 1 "MDB_NOTFOUND" mdb_dump -s missing many
equal "printable form" "$(printf 'VERSION=3\nformat=print\ntype=btree\nHEADER=END\n a\\00b\n c\\ff\nDATA=END\n' |
    mdb_load -n print.mdb && mdb_dump -p -n print.mdb | tail -n 3 | tr '\n' '|')" ' a\00b| c\ff|DATA=END|'

# ---- Figures

equal "figures of a small table" "$(mdb_stat -n main.mdb | tr -s ' \n' ' ')" \
    "Status of Main DB Tree depth: 2 Branch pages: 1 Leaf pages: $(mdb_stat -n main.mdb |
        sed -n 's/ *Leaf pages: //p') Overflow pages: 0 Entries: 500 "
equal "of the environment" "$(mdb_stat -n -e main.mdb | grep -c 'Page size: 4096\|Max readers: 126\|Map size: 16777216')" 3
check "free pages" sh -c "mdb_stat -n -f main.mdb | grep -q 'Free pages:'"
check "free pages, each" sh -c "mdb_stat -n -fff main.mdb | grep -q 'Freelist Status'"
equal "readers" "$(mdb_stat -n -r main.mdb | sed -n 2p)" "(no active readers)"
check "stale readers" sh -c "mdb_stat -n -rr main.mdb | grep -q 'readers cleared'"

# ---- Copies

mkdir copied compact
check "copy" mdb_copy many copied
check "compact copy" mdb_copy -c many compact
for copy in copied compact; do
    for name in a b c; do
        equal "table $name of $copy" "$(mdb_dump -s $name $copy | md5sum)" "$(mdb_dump -s $name many | md5sum)"
    done
done
check "copy a file" mdb_copy -n main.mdb copy.mdb
mdb_copy -n main.mdb >stdout.mdb
dump -n stdout.mdb >stdout.out
check "to stdout" cmp stdout.out main.in
refused "onto what exists" 1 "File exists" mdb_copy -n main.mdb copy.mdb

# ---- What is refused

refused "a missing folder" 1 "No such file or directory" mdb_stat missing
refused "a missing file" 1 "No such file or directory" mdb_dump -n missing
head -c 20000 /dev/urandom >junk
cp junk before
refused "junk" 1 "MDB_INVALID: File is not an LMDB file" mdb_stat -n junk
check "is left alone" cmp junk before
printf abc >short
refused "three bytes" 1 "MDB_INVALID" mdb_stat -n short
printf 'VERSION=3\nformat=bytevalue\nmapsize=1048576\ntype=btree\nHEADER=END\n' >large.in
records 20000 %08x %0100x >>large.in
refused "a map that is full" 1 "MDB_MAP_FULL" mdb_load -n -f large.in full.mdb
equal "usage" "$(mdb_stat 2>&1)" "usage: mdb_stat [-V] [-n] [-e] [-r[r]] [-f[f[f]]] [-a|-s subdb] dbpath"

finish
