#!/bin/bash
# SPDX-License-Identifier: MIT
#
# postmap on lmdb: maps, with a configuration of its own and without any mail service.
# shellcheck source=checks.sh
. "$CLIENT_SCRIPTS/checks.sh"
lib=$CLIENT_ROOT/usr/lib/postfix
PATH=$PATH:$CLIENT_ROOT/usr/sbin
export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$lib
mkdir conf queue data
cat >conf/main.cf <<CONF
compatibility_level = 3.6
myhostname = localhost
inet_interfaces = loopback-only
inet_protocols = ipv4
shlib_directory = $lib
meta_directory = $PWD/conf
daemon_directory = $lib
queue_directory = $PWD/queue
data_directory = $PWD/data
mail_owner = daemon
setgid_group = bin
default_privs = nobody
lmdb_map_size = 16777216
CONF
printf 'lmdb\t%s/postfix-lmdb.so\tdict_lmdb_open\tmkmap_lmdb_open\n' "$lib" >conf/dynamicmaps.cf

map() {
    postmap -c conf "$@"
}

awk 'BEGIN { for (i = 0; i < 2000; i++) printf "user%d@example.org\tbox%d\n", i, i * 3 }' >users
equal "the library under test is in use" "$(uses_library map lmdb:users)" "$(readlink -f "$CLIENT_LIBRARY")"
check "make a map" map lmdb:users
check "its file" test -f users.lmdb
for i in $(seq 0 50 1999); do
    equal "look up $i" "$(map -q "user$i@example.org" lmdb:users)" "box$((i * 3))"
done
refused "a missing key" 1 "" map -q nobody@example.org lmdb:users
equal "all of it" "$(map -s lmdb:users | sort | md5sum)" "$(sort users | md5sum)"
check "delete" map -d user7@example.org lmdb:users
refused "is gone" 1 "" map -q user7@example.org lmdb:users
refused "once" 1 "" map -d user7@example.org lmdb:users
check "add" sh -c "printf 'new@example.org box\n' | postmap -c conf -i lmdb:users"
equal "is there" "$(map -q new@example.org lmdb:users)" box
check "replace" sh -c "printf 'new@example.org other\n' | postmap -c conf -r -i lmdb:users"
equal "is another" "$(map -q new@example.org lmdb:users)" other
equal "many at once" "$(printf 'user1@example.org\nuser2@example.org\nnone\n' | map -q - lmdb:users | tr '\n' ' ')" \
    "user1@example.org	box3 user2@example.org	box6 "

# A new map in place of the old one, while nobody and while somebody reads.
printf 'only@example.org one\n' >users
check "make it anew" map lmdb:users
equal "has just the new" "$(map -s lmdb:users)" "only@example.org	one"
refused "and nothing else" 1 "" map -q user1@example.org lmdb:users
for i in 1 2 3 4 5; do
    (for _ in 1 2 3 4 5; do map -q only@example.org lmdb:users >/dev/null || exit 1; done) &
    check "make it while it is read, $i" map lmdb:users
    check "readers see it, $i" wait $!
done

# Larger than its map at first: postmap doubles the map and starts again.
sed -i 's/^lmdb_map_size.*/lmdb_map_size = 65536/' conf/main.cf
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "host%d.example.org\tOK text that takes some room %d\n", i, i }' >access
check "a map that outgrows its size" map lmdb:access
equal "its last" "$(map -q host19999.example.org lmdb:access)" "OK text that takes some room 19999"
equal "its number of records" "$(map -s lmdb:access | wc -l)" 20000
equal "its bits" "$(stat -c %a access.lmdb)" 644
head -c 10000 /dev/urandom >junk.lmdb
: >junk
check "junk is refused" sh -c "! postmap -c conf -q key lmdb:junk"
finish
