/* SPDX-License-Identifier: MIT */
/*
 * kvctl and tables of every kind: duplicates, orders, counts, ranges, sequences, the marker; how
 * kinds go through dumps, and to LMDB's tools and back; tables of an order that kvctl has not.
 */
#include <stdlib.h>

#include "kv.h"
#include "shell.h"

/* ---- Duplicates ---------------------------------------------------------------------------- */

START_TEST(a_key_has_many_values_in_order)
{
    expect(0, "", "$K put --dup -t t a.kv k b && $K put -t t a.kv k a && $K put -t t a.kv k c");
    expect(0, "a\nb\nc\n", "$K get -t t a.kv k");
    expect(0, "k\ta\nk\tb\nk\tc\n", "$K scan -t t a.kv");
    expect(0, "", "$K put -t t a.kv k b");
    expect(4, "", "$K put --no-pair -t t a.kv k b");
    expect(0, "3\n", "$K count -t t a.kv");
    expect(0, "1\n", "$K count --keys -t t a.kv");
}
END_TEST

START_TEST(one_value_or_all_of_a_key_are_deleted)
{
    expect(0, "", "printf 'k\\ta\\nk\\tb\\nk\\tc\\nl\\td\\n' | $K load -q --dup -t t a.kv");
    expect(0, "", "$K del --value b -t t a.kv k");
    expect(0, "k\ta\nk\tc\nl\td\n", "$K scan -t t a.kv");
    expect(1, "", "$K del --value b -t t a.kv k");
    expect(0, "", "$K del -t t a.kv k");
    expect(0, "l\td\n", "$K scan -t t a.kv");
}
END_TEST

START_TEST(values_of_one_size_are_of_that_size)
{
    expect(0, "", "$K put --fixed 4 -t t a.kv k aaaa");
    expect(4, "", "$K put -t t a.kv k aaa");
    expect(0, "t\t1\tduplicates, fixed 4\n", "$K tables a.kv");
}
END_TEST

START_TEST(value_options_are_refused_in_ordinary_tables)
{
    expect(0, "", "$K put a.kv k v");
    expect(4, "", "$K put --no-pair a.kv k w");
    expect(4, "", "$K del --value v a.kv k");
    expect(4, "", "$K put --dup a.kv k w");
    expect(0, "k\tv\n", "$K scan a.kv");
}
END_TEST

/* ---- Orders -------------------------------------------------------------------------------- */

START_TEST(keys_stand_in_the_order_of_the_table)
{
    expect(0, "", "printf 'ab\\t1\\nba\\t2\\nca\\t3\\n' | $K load -q --order reverse -t r a.kv");
    expect(0, "ba\t2\nca\t3\nab\t1\n", "$K scan -t r a.kv");
    expect(0, "ba\t2\nca\t3\n", "$K scan --prefix a -t r a.kv");
    expect(0, "",
           "for n in 00010000 ff000000 00000001; do $K put -x --order uint -t n a.kv $n 00; done");
    expect(0, "ff000000\t00\n00010000\t00\n00000001\t00\n", "$K scan -x -t n a.kv");
    expect(4, "", "$K put -x -t n a.kv 0001 00");
    expect(2, "", "$K put --order nonsense -t x a.kv k v");
}
END_TEST

static int by_length(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

/* A table that only a program with its comparator may change. */
static void make_custom(void)
{
    struct kv_table_options how = KV_TABLE_OPTIONS_INIT;
    struct kv_options options = KV_OPTIONS_INIT;
    char texts[] = "aaazmmv";
    struct kv_val keys[] = {{3, texts}, {1, texts + 3}, {2, texts + 4}};
    struct kv_env *env;
    struct kv_txn *txn;
    kv_table table;

    shell_setup();
    options.flags = KV_CREATE;
    how.order = KV_ORDER_CUSTOM;
    how.comparator = "by-length";
    ck_ok(kv_env_open(tmp_path("a.kv"), &options, &env));
    ck_ok(kv_env_comparator(env, "by-length", by_length, NULL));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_open(txn, "own", KV_CREATE, &how, &table));
    for (size_t i = 0; i < 3; i++) {
        struct kv_val value = {1, texts + 6};

        ck_ok(kv_put(txn, table, &keys[i], &value, 0));
    }
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_close(env));
}

START_TEST(tables_of_a_users_order_are_read_and_not_changed)
{
    expect(0, "z\tv\nmm\tv\naaa\tv\n", "$K scan -t own a.kv");
    expect(0, "own\t3\torder custom by-length\n", "$K tables a.kv");
    expect(4, "", "$K put -t own a.kv k v");
    err_has("comparator");
    expect(4, "", "$K get -t own a.kv z");
    expect(4, "", "printf 'k\\tv\\n' | $K load -q -t own a.kv");
    expect(0, NULL, "$K check a.kv");
    expect(0, NULL, "$K dump -t own a.kv >own && $K copy --compact a.kv b.kv");
    expect(4, "", "$K load c.kv own");
    err_has("comparator=by-length/");
    expect(0, "z\tv\nmm\tv\naaa\tv\n", "$K scan -t own b.kv");
}
END_TEST

/* ---- Numbers ------------------------------------------------------------------------------- */

static void make_counted(void)
{
    shell_setup();
    expect(0, "",
           "seq -f '%%04g' 0 999 | sed 's/.*/&\\tv&/' | $K load -q --counted -t c a.kv && "
           "seq -f '%%04g' 0 999 | sed 's/.*/&\\tv&/' | $K load -q -t p a.kv");
}

START_TEST(ranges_are_counted)
{
    expect(0, "1000\n", "$K count -t c a.kv");
    expect(0, "100\n", "$K count --prefix 01 -t c a.kv");
    expect(0, "50\n", "$K count --from 0100 --to 0150 -t c a.kv");
    expect(0, "50\n", "$K count --prefix 01 --to 0150 -t c a.kv");
    expect(0, "{\"count\":50,\"estimate\":false}\n", "$K count --json --to 0050 -t c a.kv");
    expect(0, "100\n", "$K count --prefix 01 -t p a.kv");
    expect(0, NULL, "test $($K count --estimate -t p a.kv) -gt 500");
}
END_TEST

START_TEST(records_are_found_by_number_and_numbers_by_key)
{
    expect(0, "0007\tv0007\n0999\tv0999\n", "$K nth -t c a.kv 7 999");
    expect(1, "", "$K nth -t c a.kv 1000");
    expect(0, "0105\tv0105\n", "$K nth --prefix 01 -t c a.kv 5");
    expect(0, "7\n", "$K rank -t c a.kv 0007");
    expect(0, "8\n", "$K rank -t c a.kv 0007x");
    expect(4, "", "$K nth -t p a.kv 0");
    expect(4, "", "$K rank -t p a.kv 0007");
    expect(2, "", "$K nth -t c a.kv nonsense");
}
END_TEST

START_TEST(ranges_are_deleted)
{
    expect(0, "100\n", "$K del --range --prefix 01 -t c a.kv");
    expect(0, "900\n", "$K count -t c a.kv");
    expect(0, "{\"deleted\":899}\n", "$K del --range --from 0001 --json -t c a.kv");
    expect(0, "0000\tv0000\n", "$K scan -t c a.kv");
    expect(0, "0\n", "$K del --range --from 5 -t c a.kv");
    expect(2, "", "$K del --range -t c a.kv");
    expect(2, "", "$K del --prefix 0 -t c a.kv");
    expect(2, "", "$K del --range --prefix 0 -t c a.kv key");
    expect(0, NULL, "$K check a.kv");
}
END_TEST

START_TEST(integers_sequences_and_markers_are_kept)
{
    expect(0, "1\n", "$K add a.kv n");
    expect(0, "-4\n", "$K add -- a.kv n -5");
    expect(0, "fcffffffffffffff\n", "$K get -x a.kv 6e");
    expect(0, NULL, "$K add a.kv n 9223372036854775807");
    expect(4, "", "$K add a.kv n 9223372036854775807");
    expect(2, "", "$K add a.kv n x");
    expect(0, "0\n0\n10\n10\n",
           "$K sequence a.kv; $K sequence a.kv 10; $K sequence a.kv 5; $K sequence a.kv >s; "
           "echo $(($(cat s) - 5))");
    expect(0, "\nschema 7\n", "$K marker a.kv && $K marker a.kv 'schema 7' && $K marker a.kv");
    expect(4, "", "$K marker a.kv $(printf '%%065d' 0)");
    expect(0, "", "$K put a.kv k one && $K put --expect one a.kv k two");
    expect(4, "", "$K put --expect one a.kv k three");
    expect(0, "two\n", "$K get a.kv k");
}
END_TEST

/* ---- Dumps --------------------------------------------------------------------------------- */

/* How a table is made here, and the words of its kind in LMDB's dumps. */
static const struct {
    const char *options;
    const char *words;
    const char *lines;
} dumped[] = {
    {"--dup", "dupsort=1", "k\\tb\\nk\\ta\\nl\\tccc\\n"},
    {"--fixed 3", "dupsort=1 dupfixed=1", "k\\taaa\\nk\\tbbb\\nl\\tccc\\n"},
    {"--dup --order reverse", "reversekey=1 dupsort=1", "ab\\t1\\nba\\t2\\nba\\t3\\n"},
    {"--dup --value-order reverse", "dupsort=1 reversedup=1", "k\\tab\\nk\\tba\\n"},
    {"--fixed 8 --order uint --value-order uint", "dupsort=1 integerkey=1 dupfixed=1 integerdup=1",
     "12345678\\tabcdefgh\\n"},
    {"--order uint", "integerkey=1", "12345678\\tone\\nabcdefgh\\ttwo\\n"},
};

#define DUMPED ((int)(sizeof dumped / sizeof dumped[0]))

START_TEST(kinds_go_through_dumps_and_lmdbs_tools)
{
    expect(0, "", "printf '%s' | $K load -q %s -t t a.kv", dumped[_i].lines, dumped[_i].options);
    expect(0, NULL, "$K dump -t t a.kv >one && for w in %s; do grep -qx $w one || exit 1; done",
           dumped[_i].words);
    expect(0, NULL, "$K load -q b.kv one && $K dump -t t b.kv | cmp one -");
    if (shell_has("mdb_load") && shell_has("mdb_dump")) {
        expect(0, NULL, "mdb_load -n -s t c.mdb <one && mdb_dump -n -s t c.mdb >two");
        expect(0, NULL, "$K load -q d.kv two && $K dump -t t d.kv | cmp one -");
    }
    expect(0, NULL, "$K check a.kv && $K check b.kv");
}
END_TEST

START_TEST(kinds_of_our_own_go_through_dumps)
{
    expect(0, "", "$K put --counted --align 8 -t t a.kv k v");
    expect(0, NULL, "$K dump --all a.kv | $K load -q b.kv");
    expect(0, "t\t1\tcounted, align 8\n", "$K tables b.kv");
    expect(0, NULL, "$K copy --compact a.kv c.kv && $K check c.kv");
    expect(0, "t\t1\tcounted, align 8\n", "$K tables c.kv");
}
END_TEST

START_TEST(unsorted_input_loads_as_sorted_does)
{
    expect(0, NULL,
           "seq 1 20000 | awk '{ printf \"%%08d\\t%%d\\n\", $1 * 7919 %% 20011, $1 }' >in");
    expect(0, NULL, "$K load -q a.kv in && sort in | $K load -q b.kv");
    expect(0, NULL, "$K scan a.kv >x && $K scan b.kv | cmp x -");
    expect(0, NULL, "$K check a.kv && $K check b.kv");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kvctl_kinds");

    shell_add(s, "duplicates", a_key_has_many_values_in_order);
    shell_add(s, "duplicates", one_value_or_all_of_a_key_are_deleted);
    shell_add(s, "duplicates", values_of_one_size_are_of_that_size);
    shell_add(s, "duplicates", value_options_are_refused_in_ordinary_tables);
    shell_add(s, "orders", keys_stand_in_the_order_of_the_table);
    harness_add_fixture(s, "custom", tables_of_a_users_order_are_read_and_not_changed, make_custom,
                        shell_teardown);
    harness_add_fixture(s, "numbers", ranges_are_counted, make_counted, shell_teardown);
    harness_add_fixture(s, "numbers", records_are_found_by_number_and_numbers_by_key, make_counted,
                        shell_teardown);
    harness_add_fixture(s, "numbers", ranges_are_deleted, make_counted, shell_teardown);
    shell_add(s, "kept", integers_sequences_and_markers_are_kept);
    shell_add_loop(s, "dumps", kinds_go_through_dumps_and_lmdbs_tools, DUMPED);
    shell_add(s, "own", kinds_of_our_own_go_through_dumps);
    shell_add(s, "unsorted", unsorted_input_loads_as_sorted_does);
    return s;
}

HARNESS_MAIN(suite)
