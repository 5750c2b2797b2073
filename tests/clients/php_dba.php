<?php
// SPDX-License-Identifier: MIT
//
// PHP's dba functions with the handler lmdb. Every check holds with the genuine LMDB library;
// scripts/test-clients.sh runs this file with that one first and then with the drop-in. CLIENT_LIBRARY names
// the library that must be in use, the present folder is empty. Ends with "N passed, N failed".
$passed = 0;
$failed = 0;

function check($what, $holds)
{
    global $passed, $failed;
    $holds ? $passed++ : $failed++;
    if (!$holds) {
        echo "not so: $what (line ", debug_backtrace()[0]['line'], ")\n";
    }
}

function equal($what, $got, $wanted)
{
    if ($got !== $wanted) {
        echo "$what: got ", var_export($got, true), ", wanted ", var_export($wanted, true), "\n";
    }
    check($what, $got === $wanted);
}

preg_match_all('/\S*liblmdb\S*/', file_get_contents('/proc/self/maps'), $used);
equal('the library under test is in use', array_values(array_unique($used[0])),
    [realpath(getenv('CLIENT_LIBRARY'))]);
check('the handler is there', in_array('lmdb', dba_handlers()));
check('and tells its version', strpos(dba_handlers(true)['lmdb'], '0.9') !== false);

$db = dba_open('a.db', 'n', 'lmdb', 0644);
check('made', is_resource($db) || is_object($db));
check('its files', is_file('a.db') && is_file('a.db-lock'));
equal('first of nothing', dba_firstkey($db), false);
for ($i = 0; $i < 300; $i++) {
    equal("insert $i", dba_insert(sprintf('key%03d', $i), "value $i", $db), true);
}
equal('insert again', dba_insert('key005', 'other', $db), false);
equal('which changed nothing', dba_fetch('key005', $db), 'value 5');
equal('replace', dba_replace('key005', 'other', $db), true);
equal('is another', dba_fetch('key005', $db), 'other');
equal('replace what is not there', dba_replace('new', 'n', $db), true);
equal('exists', dba_exists('new', $db), true);
equal('delete', dba_delete('new', $db), true);
equal('exists no more', dba_exists('new', $db), false);
equal('delete again', @dba_delete('new', $db), false);
equal('fetch of nothing', dba_fetch('new', $db), false);
equal('bytes', dba_insert("zero\0byte", "\0\1\xff", $db), true);
equal('as they are', dba_fetch("zero\0byte", $db), "\0\1\xff");
dba_delete("zero\0byte", $db);
equal('long', dba_insert('zzz', str_repeat('x', 100000), $db), true);
equal('as it is', dba_fetch('zzz', $db), str_repeat('x', 100000));
dba_delete('zzz', $db);
equal('sync', dba_sync($db), true);
$keys = [];
for ($key = dba_firstkey($db); $key !== false; $key = dba_nextkey($db)) {
    $keys[] = $key;
}
equal('keys in order', implode(' ', $keys),
    implode(' ', array_map(fn($i) => sprintf('key%03d', $i), range(0, 299))));
equal('optimize', dba_optimize($db), true);
dba_close($db);

$db = dba_open('a.db', 'r', 'lmdb');
for ($i = 0; $i < 300; $i += 3) {
    equal("fetch $i", dba_fetch(sprintf('key%03d', $i), $db), $i == 5 ? 'other' : "value $i");
}
equal('a write when read-only', @dba_insert('x', 'y', $db), false);
dba_close($db);

$db = dba_open('a.db', 'w', 'lmdb');
equal('delete in w', dba_delete('key000', $db), true);
dba_close($db);
$db = dba_open('a.db', 'c', 'lmdb');
equal('is gone', dba_exists('key000', $db), false);
dba_close($db);
equal('missing', @dba_open('missing.db', 'r', 'lmdb'), false);
file_put_contents('junk.db', random_bytes(20000));
equal('junk', @dba_open('junk.db', 'r', 'lmdb'), false);

// A cursor goes on after other reads: dba resets and renews its txn, and leaves the cursor as it is.
$db = dba_open('steps.db', 'n', 'lmdb', 0644);
for ($i = 0; $i < 100; $i++) {
    dba_insert(sprintf('key%03d', $i), "value $i", $db);
}
$steps = 0;
for ($key = dba_firstkey($db); $key !== false; $key = dba_nextkey($db)) {
    equal("step $steps", $key, sprintf('key%03d', $steps++));
    dba_fetch($key, $db);
}
equal('steps', $steps, 100);
dba_close($db);

echo "$passed passed, $failed failed\n";
exit($failed > 0 ? 1 : 0);
