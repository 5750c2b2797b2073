#!/bin/bash
# SPDX-License-Identifier: MIT
# PHP's dba extension with its lmdb handler, by php_dba.php.
php=$CLIENT_ROOT/usr/bin/php8.2
[ -x "$php" ] || php=$(command -v php8.2)
dba=$(find "$CLIENT_ROOT/usr/lib/php" /usr/lib/php -name dba.so 2>/dev/null | head -n 1)
exec "$php" -n -d display_errors=1 -d extension="$dba" -f "$CLIENT_SCRIPTS/php_dba.php"
