#!/bin/sh
# SPDX-License-Identifier: MIT
#
# need.sh PACKAGE...: sees to it that these Debian packages are installed; `a|b` means that either
# does. When all are there it asks the package database once and does nothing else. As root it says
# what is missing and installs it with apt-get; otherwise it names the packages and fails. On systems
# without dpkg, and with NEED=no, it leaves the finding to the compiler.
set -u

[ "${NEED:-}" = no ] && exit 0
command -v dpkg-query >/dev/null 2>&1 || exit 0

names=$(printf '%s\n' "$@" | tr '|' ' ')
# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $names 2>/dev/null |
    sed -n 's/^installed //p' | tr '\n' ' ')

missing=
for wanted in "$@"; do
    found=no
    for name in $(printf '%s' "$wanted" | tr '|' ' '); do
        case " $installed" in *" $name "*) found=yes ;; esac
    done
    [ "$found" = yes ] || missing="$missing ${wanted%%|*}"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "These packages are missing:$missing" >&2
    echo "Install them, for example with: sudo apt-get install$missing" >&2
    echo "(or set NEED=no if what they bring is installed in another way)" >&2
    exit 1
fi

echo "Installing missing packages:$missing" >&2
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# shellcheck disable=SC2086
install() { apt-get install -y -qq --no-install-recommends $missing >&2; }
install || { echo "Fetching the package lists" >&2 && apt-get update -qq >&2 && install; } || {
    echo "Could not install:$missing" >&2
    exit 1
}
