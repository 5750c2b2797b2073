/* SPDX-License-Identifier: MIT */
/*
 * kvctl load and dump: every format there and back, bad input named by line and byte, and
 * interoperation with LMDB's and Berkeley DB's own tools where they are installed.
 */
#include <stdlib.h>

#include "shell.h"

/* ---- load ---------------------------------------------------------------------------------- */

START_TEST(load_knows_each_format_by_its_first_line)
{
    expect(0, "k\tv\n", "printf 'k\\tv\\n' | $K load -q a.kv && $K scan a.kv");
    expect(0, "k\tv\n",
           "printf '{\"key\":\"k\",\"value\":\"v\"}\\n' | $K load -q b.kv && $K scan b.kv");
    expect(0, "k\tPackage: k\\nX: y\\n\n",
           "printf 'Package: k\\nX: y\\n' | $K load -q c.kv && $K scan c.kv");
    expect(0, "k\tv\n",
           "printf 'VERSION=3\\nformat=print\\ntype=btree\\nHEADER=END\\n k\\n v\\nDATA=END\\n' |"
           " $K load -q d.kv && $K scan d.kv");
    expect(0, "", "$K load -q e.kv </dev/null && $K scan e.kv");
    expect(4, "", "echo nonsense | $K load -q f.kv");
    err_has("--format");
    expect(0, "", "test ! -e f.kv");
    expect(4, "", "$K load g.kv missing");
    expect(0, "", "test ! -e g.kv");
}
END_TEST

START_TEST(load_tells_what_it_did)
{
    expect(0, "", "printf 'b\\t1\\na\\t2\\n' | $K load a.kv");
    err_has("2 records loaded, 0 existing left, 0 bad skipped");
    expect(
        0, "{\"loaded\":1,\"existing\":2,\"skipped\":1}\n",
        "printf 'a\\t3\\nb\\t3\\nbad\\nc\\t3\\n' | $K load --json --no-overwrite --skip-bad a.kv");
    expect(0, "a\t2\nb\t1\nc\t3\n", "$K scan a.kv");
    expect(0, "", "printf 'a\\t3\\n' | $K load --quiet a.kv && $K get a.kv a >/dev/null");
    ck_assert_str_eq(shell_err, "");
}
END_TEST

START_TEST(a_bad_record_is_named_and_nothing_is_loaded)
{
    expect(0, "", "$K put a.kv old 1");
    expect(4, "", "printf 'a\\t1\\nbb\\t2\\\\q\\nc\\t3\\n' | $K load a.kv");
    err_has("stdin: line 2, byte 8: bad escape");
    expect(0, "old\t1\n", "$K scan a.kv");
    expect(0, "a\t1\nc\t3\nold\t1\n",
           "printf 'a\\t1\\nbb\\t2\\\\q\\nc\\t3\\n' | $K load --skip-bad a.kv && $K scan a.kv");
    err_has("line 2, byte 8");
    err_has("2 records loaded, 0 existing left, 1 bad skipped");
}
END_TEST

START_TEST(batches_keep_what_was_committed_before_a_bad_record)
{
    expect(4, "", "printf 'a\\t1\\nb\\t2\\nc\\t3\\nbad\\n' | $K load --batch 2 a.kv");
    err_has("line 4, byte 12");
    expect(0, "a\t1\nb\t2\n", "$K scan a.kv");
}
END_TEST

START_TEST(unsorted_and_repeated_keys_end_up_in_order)
{
    expect(0, "",
           "seq 1 3000 | awk '{ print $1 * 7919 %% 3001 \"\\t\" $1 }' >in;"
           " $K load -q a.kv in && $K load -q --batch 7 b.kv in");
    expect(0, "",
           "LC_ALL=C sort in >sorted; $K scan a.kv | cmp - sorted;"
           " $K scan b.kv | cmp - sorted");
    expect(0, "1\tlast\n2\tx\n",
           "printf '1\\tfirst\\n2\\tx\\n1\\tlast\\n' | $K load -q c.kv &&"
           " $K scan c.kv");
    expect(0, NULL, "$K check a.kv && $K check b.kv");
}
END_TEST

START_TEST(keys_that_the_database_refuses_are_bad_records)
{
    expect(0, "", "$K put -t table a.kv k v");
    expect(4, "", "printf 'a\\t1\\ntable\\t2\\n' | $K load a.kv");
    err_has("line 2, byte 4: the key is the name of a table");
    expect(4, "",
           "{ echo 'a\t1'; head -c 40000 /dev/zero | tr '\\0' k; echo '\tv'; } >in;"
           " $K load a.kv in");
    err_has("in: line 2, byte 4: the key is too long");
    expect(0, "a\t1\n", "$K load --skip-bad a.kv in && $K scan a.kv");
}
END_TEST

START_TEST(tab_separated_lines_may_be_hex_or_raw)
{
    expect(0, "key\tvalue\n", "echo '6b6579\t76616c7565' | $K load -q --hex a.kv && $K scan a.kv");
    expect(4, "", "echo '6b6579\t7z' | $K load -q --hex b.kv");
    err_has("line 1, byte 8: not a hexadecimal digit");
    expect(0, "a\\\\n\tb\\tc\n",
           "printf '%%s\\n' 'a\\n\tb\tc' | $K load -q --raw c.kv &&"
           " $K scan c.kv");
    expect(0, "k\tv\n", "printf 'k\\tv' | $K load -q d.kv && $K scan d.kv");
}
END_TEST

START_TEST(lines_and_stanzas_of_megabytes_load)
{
    expect(0, "",
           "head -c 3000000 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' >hex; printf '\\n' >>hex;"
           " { printf '6b\\t'; cat hex; } | $K load -q --hex a.kv; $K get --hex a.kv 6b |"
           " cmp - hex");
    expect(0, "",
           "{ printf 'Package: k\\n'; seq 1 100000 | sed 's/^/ /'; } >in;"
           " $K load -q b.kv in && $K get --raw b.kv k | cmp - in");
    expect(0, "", "$K dump a.kv | $K load -q c.kv && $K get --hex c.kv 6b | cmp - hex");
}
END_TEST

/* Lines that are no JSON record, and where and why. */
static const struct {
    const char *line;
    const char *why;
} bad_json[] = {
    {"{\"key\":\"k\"}", "byte 0: no value and no value_hex"},
    {"{\"value\":\"v\"}", "byte 0: no key and no key_hex"},
    {"{\"key\":\"k\",\"value\":7}", "byte 0: member \"value\" is not a string"},
    {"{\"key\":\"k\",\"key_hex\":\"6b\",\"value\":\"v\"}", "byte 0: both key and key_hex"},
    {"{\"key\":\"k\",\"value_hex\":\"7\"}", "byte 0: value_hex: odd number"},
    {"{\"key\":\"k\",\"vlaue\":\"v\"}", "byte 0: unknown member \"vlaue\""},
    {"{\"key\":\"k\",\"value\":\"v\"", "byte 22: the line ends inside the JSON"},
    {"{\"key\":\"k\",\"value\":\"v\"} x", "byte 2"},
    {"{\"key\":\"k\",\"value\":\"\\ud800\"}", "byte 20: half of a surrogate pair"},
    {"{\"key\":\"k\",\"value\":\"\\udc00\"}", "byte 20: half of a surrogate pair"},
    {"{\"key\":\"k\",\"value\":\"\xff\"}", "byte 2"},
    {"[\"key\"]", "byte 0: not a JSON object"},
    {"7", "line 1"},
    {"{key:7}", "byte 1"},
};

START_TEST(bad_json_is_named)
{
    file_write(tmp_path("in"), bad_json[_i].line, strlen(bad_json[_i].line));
    expect(4, "", "$K load --format json a.kv in");
    err_has("in: line 1, ");
    err_has(bad_json[_i].why);
    expect(0, "", "$K scan a.kv");
}
END_TEST

START_TEST(json_lines_hold_any_text)
{
    expect(0, "",
           "cat >in <<'X'\n"
           "\n"
           "{\"value\":\"\\u0000\\n\\ud83d\\ude00/\\/\", \"key\":\"a\\u00e9\"}\n"
           "  {\"key_hex\":\"FF00\",\"value_hex\":\"\"}  \n"
           "{\"table\":\"t\",\"key\":\"k\",\"value\":\"v\"}\n"
           "{\"key\":\"z\",\"value\":\"back in the main table\"}\n"
           "{\"table\":\"nothing in it\"}\n"
           "X\n"
           "$K load -q a.kv in");
    expect(0, "a\xc3\xa9\t\\x00\\n\xf0\x9f\x98\x80//\nz\tback in the main table\n\\xff\\x00\t\n",
           "$K scan a.kv");
    expect(0, "nothing in it\t0\nt\t1\n", "$K tables a.kv");
    expect(4, "", "$K load -q -t other b.kv in");
    err_has("line 4, byte ");
}
END_TEST

START_TEST(stanzas_are_keyed_by_a_field)
{
    expect(0, "",
           "cat >in <<'X'\n"
           "\n"
           "Package: one\n"
           "Description: first\n"
           " more: text\n"
           " .\n"
           "\n"
           " \t\n"
           "Name: n2\n"
           "package:   two  \n"
           "X\n"
           "$K load -q --rfc822 a.kv in");
    expect(0,
           "one\tPackage: one\\nDescription: first\\n more: text\\n .\\n\n"
           "two\tName: n2\\npackage:   two  \\n\n",
           "$K scan a.kv");
    expect(4, "", "$K load --rfc822 --key-field Name b.kv in");
    err_has("in: line 2, byte 1: no Name field");
    expect(0, "n2\n", "$K load -q --rfc822 --key-field Name --skip-bad b.kv in && $K scan -k b.kv");
}
END_TEST

START_TEST(bad_stanzas_are_named)
{
    expect(4, "", "printf 'Package: a\\n\\n continued\\nPackage: b\\n' | $K load a.kv --rfc822");
    err_has("line 3, byte 12: a stanza begins with a continuation line");
    expect(4, "", "printf 'Package: a\\nnonsense\\n' | $K load a.kv --rfc822");
    err_has("line 2, byte 11: neither a field");
    expect(4, "", "printf 'Package: a\\nPackage: b\\n' | $K load a.kv --rfc822");
    err_has("line 2, byte 11: a second Package field");
    expect(0, "c\n",
           "printf 'Package: a\\nbad\\nX: y\\n\\nPackage: c\\n' |"
           " $K load -qs --rfc822 a.kv && $K scan -k a.kv");
}
END_TEST

/* ---- The Berkeley format -------------------------------------------------------------------- */

#define HEADER "VERSION=3\\nformat=bytevalue\\ntype=btree\\n"

START_TEST(dump_writes_the_berkeley_format)
{
    expect(0, "", "$K put a.kv 'k\\x00' 'a\\\\b\\xff '");
    expect(0,
           "VERSION=3\nformat=bytevalue\ntype=btree\nmapsize=1048576\nHEADER=END\n"
           " 6b00\n 615c62ff20\nDATA=END\n",
           "$K dump --mapsize 1M a.kv");
    expect(0,
           "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n"
           " k\\00\n a\\5cb\\ff \nDATA=END\n",
           "$K dump --print --mapsize 0 a.kv");
    expect(0, NULL, "$K dump a.kv | grep mapsize=");
    expect(0, "k\\x00\ta\\\\b\\xff \n", "$K dump --format tsv a.kv");
    expect(0, "6b00\t615c62ff20\n", "$K dump --format tsv --hex a.kv");
    expect(0, "{\"key\":\"k\\u0000\",\"value_hex\":\"615c62ff20\"}\n", "$K dump -f json a.kv");
}
END_TEST

START_TEST(all_tables_dump_and_load_also_empty_ones)
{
    expect(0, "",
           "$K put a.kv k main; $K put -t one a.kv k 1; $K put -t two a.kv k 2;"
           " $K put -t void a.kv k 3; $K drop --empty a.kv void");
    for (int i = 0; i < 3; i++) {
        static const char *const formats[] = {"--format bdb", "--print", "--format json"};
        expect(0, "one\t1\ntwo\t1\nvoid\t0\n",
               "rm -f b.kv*; $K dump --all %s a.kv | $K load -q b.kv && $K tables b.kv",
               formats[i]);
        expect(0, "main\n1\n2\n", "$K get b.kv k && $K get -t one b.kv k && $K get -t two b.kv k");
        expect(0, "",
               "$K dump -a a.kv >one; $K dump -a b.kv | grep -v mapsize >two;"
               " grep -v mapsize one | cmp - two");
    }
    expect(0, "k\t1\n", "$K dump -t one a.kv | $K load -q c.kv && $K scan -t one c.kv");
    expect(0, "k\t1\n", "$K dump -t one a.kv | $K load -q -t new d.kv && $K scan -t new d.kv");
    expect(4, "", "$K dump --all a.kv | $K load -q -t new e.kv");
    err_has("a second table");
    expect(0, "0\n", "$K scan -c e.kv");
}
END_TEST

/* Dumps that are refused, and why. */
static const struct {
    const char *text; /* for printf of the shell */
    const char *why;
} bad_dumps[] = {
    {HEADER "recnum=1\\nHEADER=END\\nDATA=END\\n", "line 4, byte 38: tables with recnum=1"},
    {HEADER "keys=0\\nHEADER=END\\nDATA=END\\n", "tables with keys=0 are not supported"},
    {HEADER "comparator=mine/\\nHEADER=END\\nDATA=END\\n", "tables with comparator=mine/"},
    {"VERSION=3\\ntype=recno\\nHEADER=END\\nDATA=END\\n", "line 2, byte 10: tables of type recno"},
    {"VERSION=9\\nHEADER=END\\nDATA=END\\n", "line 1, byte 0: unknown version"},
    {"VERSION=3\\nformat=x\\nHEADER=END\\nDATA=END\\n", "line 2, byte 10: unknown format"},
    {HEADER "nonsense\\n", "line 4, byte 38: no header line"},
    {HEADER, "input ends in a header"},
    {HEADER "HEADER=END\\n 6b\\n 76\\n", "input ends before DATA=END"},
    {HEADER "HEADER=END\\n 6b\\n", "input ends before DATA=END"},
    {HEADER "HEADER=END\\n 6b\\nDATA=END\\n", "line 6, byte 53: a key without a value"},
    {HEADER "HEADER=END\\n 6b\\n 7\\nDATA=END\\n", "line 6, byte 54: odd number"},
    {HEADER "HEADER=END\\n 6x\\n 76\\nDATA=END\\n", "line 5, byte 51: not a hexadecimal digit"},
    {HEADER "HEADER=END\\n6b\\n 76\\nDATA=END\\n", "line 5, byte 49: no blank"},
    {HEADER "HEADER=END\\nDATA=END\\nrubbish\\n", "line 6, byte 58: a section begins with"},
    {"VERSION=3\\nformat=print\\nHEADER=END\\n k\\\\\\\\\\n v\\\\zz\\nDATA=END\\n",
     "line 5, byte 41: bad escape"},
};

START_TEST(bad_dumps_are_named_and_nothing_is_loaded)
{
    expect(4, "", "printf '%s' >in; $K load a.kv in", bad_dumps[_i].text);
    err_has("in: line ");
    err_has(bad_dumps[_i].why);
    expect(0, "", "$K scan a.kv && $K tables a.kv");
}
END_TEST

START_TEST(bad_pairs_of_a_dump_are_skipped_whole)
{
    expect(0, "a\t1\nd\t4\n",
           "printf '" HEADER
           "HEADER=END\\n 61\\n 31\\n 6x\\n 32\\nrubbish\\n 63\\n 3\\n 64\\n 34\\n"
           " 65\\nDATA=END\\n' | $K load --skip-bad a.kv && $K scan a.kv");
    err_has("4 bad skipped");
}
END_TEST

/* Random bytes as keys and values, in the order of the dump. */
static void make_random(uint64_t seed, size_t key_bytes_min)
{
    struct rng rng;
    char *line = malloc(4096);
    FILE *file = fopen(tmp_path("random.hex"), "w");
    ck_assert(line && file);
    rng_seed(&rng, "records", seed);
    for (int i = 0; i < 500; i++) {
        uint8_t bytes[1600];
        size_t key_size = rng_between(&rng, key_bytes_min, 60);
        size_t size = key_size + rng_below(&rng, rng_chance(&rng, 5) ? 1500 : 90);
        rng_bytes(&rng, bytes, size);
        for (size_t k = 0; k < size; k++) {
            if (rng_chance(&rng, 60))
                bytes[k] = (uint8_t)(32 + bytes[k] % 95);
        }
        for (size_t k = 0; k < size; k++)
            fprintf(file, "%s%02x", k == key_size ? "\t" : "", bytes[k]);
        fputs(size == key_size ? "\t\n" : "\n", file);
    }
    fclose(file);
    free(line);
    expect(0, "", "$K load -q --hex a.kv random.hex && $K dump --mapsize 0 a.kv >want");
    expect(0, NULL, "$K check a.kv");
}

START_TEST(random_bytes_survive_every_format)
{
    static const char *const dumps[] = {"dump",         "dump --print",          "dump -f tsv",
                                        "dump -f json", "dump -f json --hex",    "scan",
                                        "scan --json",  "scan --reverse --json", "scan --reverse"};
    make_random(11, 0);
    for (size_t i = 0; i < sizeof dumps / sizeof dumps[0]; i++)
        expect(0, "",
               "rm -f b.kv*; $K %s a.kv | $K load -q b.kv && $K dump --mapsize 0 b.kv |"
               " cmp - want",
               dumps[i]);
    expect(0, "",
           "$K scan --hex a.kv | $K load -q --hex c.kv && $K dump --mapsize 0 c.kv |"
           " cmp - want");
}
END_TEST

START_TEST(lmdb_tools_read_and_write_our_dumps)
{
    if (!shell_has("mdb_load") || !shell_has("mdb_dump")) {
        printf("no mdb_load or mdb_dump here: not tested\n");
        return;
    }
    make_random(12, 1);
    expect(0, "", "$K dump a.kv | mdb_load -n one.mdb");
    ck_assert_str_eq(shell_err, "");
    expect(0, "", "mdb_dump -n one.mdb | $K load -q b.kv && $K dump --mapsize 0 b.kv | cmp - want");
    expect(0, "", "$K dump --print a.kv | mdb_load -n two.mdb");
    expect(0, "", "mdb_dump -n two.mdb >2; mdb_dump -n one.mdb | cmp - 2");
    expect(0, "",
           "$K put -t t1 c.kv k 1 && $K put -t t2 c.kv k 2 && $K dump --all c.kv |"
           " mdb_load -n all.mdb");
    expect(0, "t1\t1\nt2\t1\n", "mdb_dump -a -n all.mdb | $K load -q d.kv && $K tables d.kv");
    expect(0, "2\n", "$K get -t t2 d.kv k");
    expect(0, "",
           "$K dump -t t2 c.kv | mdb_load -n all.mdb && mdb_dump -s t2 -n all.mdb >/dev/null");
}
END_TEST

START_TEST(a_database_beyond_lmdbs_default_map_loads_there)
{
    if (!shell_has("mdb_load") || !shell_has("mdb_dump")) {
        printf("no mdb_load or mdb_dump here: not tested\n");
        return;
    }
    expect(0, "",
           "head -c 12000000 /dev/urandom | od -An -v -tx1 -w600 | tr -d ' ' |"
           " awk '{ printf \"%%08d\\t%%s\\n\", NR * 7919 %% 20011, $0 }' >in;"
           " $K load -q a.kv in && $K dump a.kv | mdb_load -n one.mdb");
    expect(0, "20000\n", "mdb_dump -n one.mdb | $K load -q b.kv && $K scan --count b.kv");
}
END_TEST

START_TEST(berkeley_tools_read_and_write_our_dumps)
{
    if (!shell_has("db_load") || !shell_has("db_dump")) {
        printf("no db_load or db_dump here: not tested\n");
        return;
    }
    make_random(13, 0);
    expect(0, "", "db_load one.db <want");
    expect(0, "", "db_dump one.db | $K load -q b.kv && $K dump --mapsize 0 b.kv | cmp - want");
    expect(0, "", "db_dump -p one.db | $K load -q c.kv && $K dump --mapsize 0 c.kv | cmp - want");
    expect(0, "",
           "$K dump -p --mapsize 0 a.kv | db_load two.db && db_dump one.db >1;"
           " db_dump two.db | cmp - 1");
    expect(0, "",
           "$K dump --mapsize 0 a.kv | sed s/btree/hash/ | db_load hash.db &&"
           " db_dump hash.db | $K load -q d.kv && $K dump --mapsize 0 d.kv | cmp - want");
}
END_TEST

static void add_load(Suite *s)
{
    shell_add(s, "load", load_knows_each_format_by_its_first_line);
    shell_add(s, "load", load_tells_what_it_did);
    shell_add(s, "load", a_bad_record_is_named_and_nothing_is_loaded);
    shell_add(s, "load", batches_keep_what_was_committed_before_a_bad_record);
    shell_add(s, "load", unsorted_and_repeated_keys_end_up_in_order);
    shell_add(s, "load", keys_that_the_database_refuses_are_bad_records);
    shell_add(s, "load", tab_separated_lines_may_be_hex_or_raw);
    shell_add(s, "load", lines_and_stanzas_of_megabytes_load);
    shell_add(s, "load", json_lines_hold_any_text);
    shell_add_loop(s, "load bad json", bad_json_is_named, sizeof bad_json / sizeof bad_json[0]);
    shell_add(s, "load stanzas", stanzas_are_keyed_by_a_field);
    shell_add(s, "load stanzas", bad_stanzas_are_named);
}

static void add_dump(Suite *s)
{
    shell_add(s, "dump", dump_writes_the_berkeley_format);
    shell_add(s, "dump", all_tables_dump_and_load_also_empty_ones);
    shell_add_loop(s, "dump bad", bad_dumps_are_named_and_nothing_is_loaded,
                   sizeof bad_dumps / sizeof bad_dumps[0]);
    shell_add(s, "dump", bad_pairs_of_a_dump_are_skipped_whole);
    shell_add(s, "dump", random_bytes_survive_every_format);
    shell_add(s, "dump tools", lmdb_tools_read_and_write_our_dumps);
    shell_add(s, "dump tools", a_database_beyond_lmdbs_default_map_loads_there);
    shell_add(s, "dump tools", berkeley_tools_read_and_write_our_dumps);
}

static Suite *suite(void)
{
    Suite *s = suite_create("kvctl load");
    add_load(s);
    add_dump(s);
    return s;
}

HARNESS_MAIN(suite)
