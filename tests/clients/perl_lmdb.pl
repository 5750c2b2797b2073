# SPDX-License-Identifier: MIT
#
# liblmdb-file-perl at work. Every check holds with the genuine LMDB library; scripts/test-clients.sh
# runs this file with that one first and then with the drop-in. CLIENT_LIBRARY names the library that must
# be in use, the present folder is empty and for our files. Ends with "N passed, N failed".
use strict;
use warnings;
use Cwd qw(realpath);
use LMDB_File qw(:flags :cursor_op :error :version);

my ($passed, $failed) = (0, 0);
$LMDB_File::die_on_err = 0;

sub check {
    my ($what, $holds) = @_;
    $holds ? $passed++ : $failed++;
    print "not so: $what (line ", (caller(0))[2], ")\n" unless $holds;
}

sub equal {
    my ($what, $got, $wanted) = @_;
    my $same = defined($got) ? defined($wanted) && $got eq $wanted : !defined($wanted);
    $same ? $passed++ : $failed++;
    printf "%s: got %s, wanted %s (line %d)\n", $what, $got // 'undef', $wanted // 'undef',
        (caller(0))[2]
        unless $same;
}

sub fails {
    my ($what, $code, $call) = @_;
    $LMDB_File::last_err = 0;
    eval { $call->() };
    $LMDB_File::last_err == $code ? $passed++ : $failed++;
    printf "%s: error %d, wanted %d (line %d)\n", $what, $LMDB_File::last_err, $code, (caller(0))[2]
        unless $LMDB_File::last_err == $code;
}

sub all_of {
    my ($db, $how) = @_;
    my ($cursor, $key, $value, @all) = ($db->Cursor);
    while (!$cursor->get($key, $value, $how // MDB_NEXT)) {
        push @all, "$key=$value";
    }
    return join ' ', @all;
}

# ---- The library

open my $maps, '<', '/proc/self/maps' or die;
my %used = map { (split)[-1] => 1 } grep { /liblmdb/ } <$maps>;
close $maps;
equal('the library under test is in use', join(' ', keys %used), realpath($ENV{CLIENT_LIBRARY}));
my $version = LMDB_File::version(my $major, my $minor, my $patch);
equal('version', "$major.$minor", '0.9');
check('its text', $version =~ /^LMDB 0\.9\.\d+: \(.+\)$/);
equal('text of a result', LMDB_File::strerror(MDB_NOTFOUND),
    'MDB_NOTFOUND: No matching key/data pair found');

# ---- Environments

mkdir 'env' or die;
fails('a missing folder', 2, sub { LMDB::Env->new('missing') });
my $env = LMDB::Env->new('env', {mapsize => 10 << 20, maxdbs => 8, maxreaders => 20, mode => 0640});
check('opened', $env);
equal('files', join(' ', sort grep { !/^\./ } map { s/.*\///r } glob 'env/*'), 'data.mdb lock.mdb');
equal('mode', (stat 'env/data.mdb')[2] & 0777, 0640 & ~umask);
my $info = $env->info;
equal('map size', $info->{mapsize}, 10 << 20);
equal('readers', $info->{maxreaders}, 20);
equal('last txnid', $info->{last_txnid}, 0);
equal('last page', $info->{last_pgno}, 1);
equal('page size', $env->stat->{psize}, 4096);
equal('depth', $env->stat->{depth}, 0);
equal('longest key', $env->get_maxkeysize, 511);
$env->get_path(my $path);
equal('path', $path, 'env');
$env->get_flags(my $flags);
equal('flags', $flags & (MDB_RDONLY | MDB_NOSYNC | MDB_WRITEMAP), 0);
equal('a flag is set', $env->set_flags(MDB_NOSYNC, 1), 0);
$env->get_flags($flags);
equal('and seen', $flags & MDB_NOSYNC, MDB_NOSYNC);
$env->get_maxreaders(my $most);
equal('max readers', $most, 20);
equal('sync', $env->sync(1), 0);

# ---- Records

my $txn = $env->BeginTxn;
equal('txn id', $txn->id, 1);
my $db = $txn->OpenDB;
check('main table', $db);
equal('nothing there', $db->get('a'), undef);
equal('not found', $LMDB_File::last_err, MDB_NOTFOUND);
equal('put', $db->put("key$_", "value$_"), "value$_") for 10 .. 60;
equal('get', $db->get("key$_"), "value$_") for 10 .. 60;
my $present = 'x';
$db->put('key10', $present, MDB_NOOVERWRITE);
equal('no overwrite', $present, 'value10');
fails('an empty key', MDB_BAD_VALSIZE, sub { $db->put('', 'x') });
fails('a long key', MDB_BAD_VALSIZE, sub { $db->put('k' x 512, 'x') });
equal('delete', $db->del('key20'), 0);
fails('delete again', MDB_NOTFOUND, sub { $db->del('key20') });
$db->put('bytes', "\0\1\xff\n");
equal('bytes', $db->get('bytes'), "\0\1\xff\n");
$db->put('long', 'x' x 100000);
equal('long', length $db->get('long'), 100000);
equal('entries', $db->stat->{entries}, 52);
equal('overflow pages', $db->stat->{overflow_pages}, 25);
$txn->commit;
equal('txnid', $env->info->{last_txnid}, 1);

$txn = $env->BeginTxn(MDB_RDONLY);
$db = $txn->OpenDB;
equal('a read txn', $txn->id, 1);
fails('put in a read txn', 13, sub { $db->put('a', 'b') });
$txn->reset;
check('reset', !eval { $db->get('key10'); 1 });
$txn->renew;
equal('renew', $db->get('key10'), 'value10');
$txn->abort;

$txn = $env->BeginTxn;
$db = $txn->OpenDB;
$db->put('key10', 'other');
$txn->abort;
$txn = $env->BeginTxn;
$db = $txn->OpenDB;
equal('an abort', $db->get('key10'), 'value10');
$db->put('parent', 1);
my $child = $txn->SubTxn;
my $inner = $child->OpenDB;
equal('a child sees its parent', $inner->get('parent'), 1);
$inner->put('child', 2);
check('a parent waits', !eval { $db->get('parent'); 1 });
$child->commit;
equal('a child commits', $db->get('child'), 2);
$child = $txn->SubTxn;
$child->OpenDB->put('child', 3);
$child->abort;
equal('a child aborts', $db->get('child'), 2);
$txn->commit;

# A write txn's handle stays in place: the module relies on it.
$txn = $env->BeginTxn;
$db = $txn->OpenDB;
$db->put('flushed', 1);
check('flush', eval { $txn->Flush; 1 });
equal('goes on', $db->get('flushed'), 1);
$db->put('flushed', 2);
$txn->commit;
equal('two txnids', $env->info->{last_txnid}, 4);

# ---- Cursors

$txn = $env->BeginTxn;
$db = $txn->OpenDB('cursors', MDB_CREATE);
my %model = map { sprintf('%04d', $_ * 3) => "v$_" } 0 .. 299;
$db->put($_, $model{$_}) for reverse sort keys %model;
my $cursor = $db->Cursor;
my ($key, $value);
my @keys = sort keys %model;
equal('first', $cursor->get($key, $value, MDB_FIRST), 0);
equal('is', "$key $value", "$keys[0] $model{$keys[0]}");
equal('last', $cursor->get($key, $value, MDB_LAST), 0);
equal('is', "$key $value", "$keys[-1] $model{$keys[-1]}");
fails('behind it', MDB_NOTFOUND, sub { $cursor->get($key, $value, MDB_NEXT) });
for my $i (0 .. 299) {
    next if $i % 7;
    $key = sprintf '%04d', $i * 3;
    equal('set', $cursor->get($key, $value, MDB_SET_KEY), 0);
    equal('its value', $value, "v$i");
    next unless $i;
    $key = sprintf '%04d', $i * 3 - 1;
    equal('range', $cursor->get($key, $value, MDB_SET_RANGE), 0);
    equal('its key', $key, sprintf '%04d', $i * 3);
    equal('before', $cursor->get($key, $value, MDB_PREV), 0);
    equal('its key', $key, sprintf '%04d', $i * 3 - 3);
}
equal('forward', all_of($db), join ' ', map { "$_=$model{$_}" } @keys);
equal('backward', all_of($db, MDB_PREV), join ' ', map { "$_=$model{$_}" } reverse @keys);
$key = $keys[10];
$cursor->get($key, $value, MDB_SET);
equal('delete', $cursor->del, 0);
equal('current', $cursor->get($key, $value, MDB_GET_CURRENT), 0);
equal('the next', $key, $keys[11]);
equal('replace', $cursor->put($keys[11], 'new', MDB_CURRENT), 0);
equal('is there', $db->get($keys[11]), 'new');
undef $cursor;
$txn->commit;

# ---- Duplicates

$txn = $env->BeginTxn;
$db = $txn->OpenDB('dup', MDB_CREATE | MDB_DUPSORT);
$db->put('k', sprintf '%03d', $_ * 7 % 101) for 1 .. 100;
$db->put('l', 'x');
fails('a pair twice', MDB_KEYEXIST, sub { $db->put('k', '001', MDB_NODUPDATA) });
equal('flags', $db->flags & MDB_DUPSORT, MDB_DUPSORT);
$cursor = $db->Cursor;
$key = 'k';
equal('set', $cursor->get($key, $value, MDB_SET), 0);
$cursor->count(my $values);
equal('count', $values, 100);
my @values;
do { push @values, $value } until $cursor->get($key, $value, MDB_NEXT_DUP);
equal('values in order', "@values", join ' ', map { sprintf '%03d', $_ } 1 .. 100);
equal('next key', $cursor->get($key, $value, MDB_NEXT_NODUP), 0);
equal('is', "$key $value", 'l x');
($key, $value) = ('k', '050');
equal('a pair', $cursor->get($key, $value, MDB_GET_BOTH), 0);
($key, $value) = ('k', '0505');
equal('a range of pairs', $cursor->get($key, $value, MDB_GET_BOTH_RANGE), 0);
equal('is', $value, '051');
equal('first', $cursor->get($key, $value, MDB_FIRST_DUP), 0);
equal('last', $cursor->get($key, $value, MDB_LAST_DUP), 0);
equal('is', $value, '100');
equal('delete a pair', $db->del('k', '007'), 0);
fails('once', MDB_NOTFOUND, sub { $db->del('k', '007') });
equal('entries', $db->stat->{entries}, 100);
undef $cursor;
$txn->commit;

# ---- Orders of the program's own

$txn = $env->BeginTxn;
$db = $txn->OpenDB('nocase', MDB_CREATE);
{
    no warnings 'once';
    $db->set_compare(sub { lc($a) cmp lc($b) });
}
$db->put($_, 1) for qw(b A c B D a);
equal('an order by a function', all_of($db), 'A=1 b=1 c=1 D=1');
equal('finds by it', $db->get('d'), 1);
$txn->commit;
$txn = $env->BeginTxn;
$db = $txn->OpenDB('nocase');
$db->set_compare(sub { lc($a) cmp lc($b) });
$db->put('E', 1);
equal('and goes on in it', all_of($db), 'A=1 b=1 c=1 D=1 E=1');
$txn->commit;

# ---- Tables

$txn = $env->BeginTxn;
$db = $txn->OpenDB;
fails('a missing table', MDB_NOTFOUND, sub { $txn->OpenDB('missing') });
my $names = join ' ', grep { /^(cursors|dup|nocase)$/ } map { (split /=/)[0] } split / /, all_of($db);
equal('tables stand in the main one', $names, 'cursors dup nocase');
fails('put on a name', MDB_INCOMPATIBLE, sub { $db->put('dup', 'x') });
$txn->abort;
$txn = $env->BeginTxn;
$db = $txn->OpenDB('cursors');
equal('empty', $db->drop, 0);
equal('is empty', $db->stat->{entries}, 0);
equal('drop', $txn->OpenDB('dup')->drop(1), 0);
fails('is gone', MDB_NOTFOUND, sub { $txn->OpenDB('dup') });
$txn->commit;

# ---- Copies, other flags, ties

mkdir 'copy' or die;
equal('copy', $env->copy('copy'), 0);
fails('onto itself', 17, sub { $env->copy('copy') });
my $copy = LMDB::Env->new('copy', {maxdbs => 8, flags => MDB_RDONLY});
$txn = $copy->BeginTxn;
equal('has the records', $txn->OpenDB->get('key11'), 'value11');
$txn->abort;
undef $txn;
undef $db;
undef $copy;
open my $file, '>', 'by-fd' or die;
equal('copy by descriptor', $env->copyfd($file), 0);
close $file;
$copy = LMDB::Env->new('by-fd', {flags => MDB_RDONLY | MDB_NOSUBDIR});
$txn = $copy->BeginTxn;
equal('has them too', $txn->OpenDB->get('key11'), 'value11');
$txn->abort;
undef $txn;
undef $copy;
undef $env;

for my $more (MDB_WRITEMAP, MDB_NOMETASYNC, MDB_NOSYNC, MDB_WRITEMAP | MDB_MAPASYNC, MDB_NOTLS,
    MDB_NOLOCK, MDB_NORDAHEAD, MDB_NOMEMINIT)
{
    my $other = LMDB::Env->new("flags$more", {flags => $more | MDB_NOSUBDIR, mapsize => 1 << 20});
    $txn = $other->BeginTxn;
    $txn->OpenDB->put('k', 'v');
    check("commit with flags $more", eval { $txn->commit; 1 });
    $txn = $other->BeginTxn(MDB_RDONLY);
    equal("read with flags $more", $txn->OpenDB->get('k'), 'v');
    $txn->abort;
    undef $txn;
}

mkdir 'small' or die;
my $small = LMDB::Env->new('small', {mapsize => 1 << 20});
$txn = $small->BeginTxn;
$db = $txn->OpenDB;
my $count = 0;
$LMDB_File::last_err = 0;
while ($count < 5000) {
    eval { $db->put("key$count", 'x' x 1000) };
    last if $LMDB_File::last_err;
    $count++;
}
equal('a full map', $LMDB_File::last_err, MDB_MAP_FULL);
check('a good part of it is used', $count > 600 && $count < 1000);
fails('only an abort is left', MDB_BAD_TXN, sub { $db->put('a', 'b') });
$txn->abort;
equal('a larger map', $small->set_mapsize(4 << 20), 0);
$txn = $small->BeginTxn;
$db = $txn->OpenDB;
$db->put("key$_", 'x' x 1000) for 0 .. 1000;
$txn->commit;
equal('takes more', $small->stat->{entries}, 1001);
undef $db;
undef $txn;
undef $small;

$LMDB_File::die_on_err = 1;
my %tied;
check('tie', tie %tied, 'LMDB_File', 'tied', {mapsize => 1 << 20, flags => MDB_NOSUBDIR});
$tied{$_} = $_ * 2 for 1 .. 50;
equal('a tied hash', $tied{$_}, $_ * 2) for 1 .. 50;
equal('keys', scalar(keys %tied), 50);
equal('delete', delete $tied{7}, 14);
check('exists', exists $tied{8} && !exists $tied{7});
untie %tied;

print "$passed passed, $failed failed\n";
exit($failed > 0);
