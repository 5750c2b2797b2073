#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh KVCTL: puts this machine's package database into a new libkv database, one record a package,
# and reads it back. Every command is shown as it runs. Works in a temporary folder, leaves nothing.
set -eu

kvctl=$(realpath "$1")
source=${DEMO_SOURCE:-/var/lib/dpkg/status}
if [ ! -r "$source" ]; then
    echo "$source is not there: this demo loads Debian's package database" >&2
    exit 1
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/kv-demo-XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
cd "$dir"
PATH=$(dirname "$kvctl"):$PATH
export PATH

run() {
    printf '\n$ %s\n' "$1"
    sh -c "$1"
}

say() {
    printf '\n# %s\n' "$1"
}

say "one record for each package, its name as the key, in one transaction"
run "cat $source | kvctl load packages.kv --rfc822 --key-field Package"
say "one package"
run "kvctl get packages.kv dpkg --raw | head -n 12"
say "the first packages whose names start with lib"
run "kvctl scan packages.kv --prefix lib --keys-only --limit 5"
run "kvctl scan packages.kv --prefix lib --count"
say "what the file is made of"
run "kvctl stat packages.kv"
say "prove every page"
run "kvctl check packages.kv"
say "a copy without free space, and that it holds the same"
run "kvctl copy packages.kv copy.kv --compact"
run "kvctl check copy.kv"
run "kvctl dump packages.kv | cksum; kvctl dump copy.kv | cksum"
run "ls -l"

if [ "$(kvctl dump packages.kv | cksum)" != "$(kvctl dump copy.kv | cksum)" ]; then
    echo "the copy differs" >&2
    exit 1
fi
