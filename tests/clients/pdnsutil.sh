#!/bin/bash
# SPDX-License-Identifier: MIT
#
# PowerDNS's pdnsutil on its lmdb backend: zones and records made, listed, changed, deleted. No server is started.
# shellcheck source=checks.sh
. "$CLIENT_SCRIPTS/checks.sh"
PATH=$PATH:$CLIENT_ROOT/usr/bin
modules=$(dirname "$(find "$CLIENT_ROOT/usr/lib" -name liblmdbbackend.so | head -n 1)")
cat >pdns.conf <<CONF
launch=lmdb
lmdb-filename=$PWD/zones.lmdb
lmdb-shards=4
module-dir=$modules
setuid=
setgid=
socket-dir=$PWD
CONF

zones() {
    pdnsutil --config-dir="$PWD" "$@" 2>/dev/null
}

# Records of a zone, without the ones that tell of times.
records() {
    zones list-zone "$1" | grep '	IN	A	' | sort
}

equal "the library under test is in use" "$(uses_library pdnsutil --config-dir="$PWD" list-all-zones)" \
    "$(readlink -f "$CLIENT_LIBRARY")"
for zone in a.example b.example c.example; do
    check "make $zone" zones create-zone $zone ns1.$zone
    for i in 1 2 3 4 5 6 7 8; do
        check "add h$i to $zone" zones add-record $zone h$i A 192.0.2.$i
    done
    equal "records of $zone" "$(records $zone | wc -l)" 8
done
equal "zones" "$(zones list-all-zones | sort | tr '\n' ' ')" "a.example b.example c.example "
check "the data file" test -f zones.lmdb
equal "a record" "$(records b.example | tail -n 1)" "h8.b.example	3600	IN	A	192.0.2.8"
check "replace" zones replace-rrset b.example h8 A 300 192.0.2.99
equal "is another" "$(records b.example | tail -n 1)" "h8.b.example	300	IN	A	192.0.2.99"
check "delete a record" zones delete-rrset b.example h3 A
equal "is gone" "$(records b.example | grep -c '^h3')" 0
equal "the others are there" "$(records b.example | wc -l)" 7
check "sign" zones secure-zone a.example
check "has keys" sh -c "pdnsutil --config-dir=$PWD show-zone a.example 2>/dev/null | grep -q CSK"
check "is sound" zones check-all-zones
check "delete a zone" zones delete-zone c.example
equal "zones left" "$(zones list-all-zones | sort | tr '\n' ' ')" "a.example b.example "
equal "which are as before" "$(records a.example | wc -l)" 8
finish
