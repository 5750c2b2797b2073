#!/bin/bash
# SPDX-License-Identifier: MIT
#
# install-lmdb.sh BUILT DESTDIR LIBDIR: copies the drop-in liblmdb to LIBDIR under DESTDIR. Refuses to
# put it where a liblmdb.so.0 stands that is not an earlier copy of this one, and where the dynamic linker
# looks by itself: every program of the system would get it.
set -eu

built=$1
libdir=$3
to=$2$3

fail() {
    echo "install-lmdb: $*" >&2
    exit 1
}

[ -n "$libdir" ] || fail "say where to: make install-lmdb LMDB_LIBDIR=/opt/libkv/lmdb"
case $libdir in
/*) ;;
*) fail "LMDB_LIBDIR must be an absolute path, not $libdir" ;;
esac

# The linker's own folders, however the path is spelled.
same() { [ "$(readlink -m "$1")" = "$(readlink -m "$2")" ]; }
if [ -z "$2" ]; then
    for folder in /lib /usr/lib /lib64 /usr/lib64 /usr/local/lib \
        $(ldconfig -v -N 2>/dev/null | sed -n 's/^\(\/[^:]*\):.*/\1/p'); do
        same "$libdir" "$folder" && fail "$libdir is searched for all programs of the system:" \
            "choose a folder of its own and name it in LD_LIBRARY_PATH"
    done
fi
if [ -e "$to/liblmdb.so.0" ] && ! grep -qa 'libkv drop-in for LMDB' "$to/liblmdb.so.0"; then
    fail "$to/liblmdb.so.0 is not a drop-in of libkv: left alone"
fi

mkdir -p "$to"
install -m 755 "$built/liblmdb.so.0" "$to/liblmdb.so.0"
ln -sf liblmdb.so.0 "$to/liblmdb.so"
install -m 644 "$built/liblmdb.a" "$to/liblmdb.a"
echo "installed in $to; use it with LD_LIBRARY_PATH=$libdir PROGRAM, or link with -L$libdir -llmdb"
