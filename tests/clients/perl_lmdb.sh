#!/bin/bash
# SPDX-License-Identifier: MIT
# liblmdb-file-perl, by perl_lmdb.pl. Its folder has Perl's version in its name.
PERL5LIB=$(dirname "$(find "$CLIENT_ROOT/usr/lib" /usr/lib/*/perl5 -name LMDB_File.pm 2>/dev/null | head -n 1)")
export PERL5LIB
exec perl "$CLIENT_SCRIPTS/perl_lmdb.pl"
