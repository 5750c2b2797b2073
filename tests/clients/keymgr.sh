#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Knot DNS's keymgr, which keeps keys in an LMDB environment: made, changed, listed, deleted. No server is started.
# shellcheck source=checks.sh
. "$CLIENT_SCRIPTS/checks.sh"
PATH=$PATH:$CLIENT_ROOT/usr/sbin
cat >knot.conf <<CONF
server:
    rundir: "$PWD"
database:
    storage: "$PWD"
    kasp-db: kasp
policy:
  - id: p
    algorithm: ecdsap256sha256
zone:
  - domain: example.com
    storage: "$PWD"
    dnssec-policy: p
CONF

keys() {
    keymgr -c knot.conf "$@" 2>&1
}

equal "the library under test is in use" "$(uses_library keymgr -c knot.conf example.com list)" \
    "$(readlink -f "$CLIENT_LIBRARY")"
ids=
for i in 1 2 3 4 5 6 7 8; do
    id=$(keys example.com generate algorithm=ecdsap256sha256 | tail -n 1)
    equal "key $i has an id" "${#id}" 40
    ids="$ids $id"
    equal "keys after $i" "$(keys example.com list | grep -c '^[0-9a-f]\{40\}')" "$i"
done
equal "files" "$(cd kasp && echo *.mdb)" "data.mdb lock.mdb"
for id in $ids; do
    check "$id is listed" sh -c "keymgr -c knot.conf example.com list | grep -q $id"
    check "set times of $id" keymgr -c knot.conf example.com set "$id" retire=20400101000000
done
equal "times are kept" "$(keys example.com list | grep -c 'retire=[1-9]')" 8
left=8
for id in $ids; do
    check "delete $id" keymgr -c knot.conf example.com delete "$id"
    left=$((left - 1))
    equal "left after $id" "$(keys example.com list | grep -c '^[0-9a-f]\{40\}')" "$left"
done
check "other zones have none" sh -c "! keymgr -c knot.conf other.org list | grep -q '^[0-9a-f]\{40\}'"
finish
