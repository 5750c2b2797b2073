/* SPDX-License-Identifier: MIT */
/*
 * kvctl salvage, and the ranges that kvctl check names: dumps, new databases, reports, statuses.
 * Pages are damaged by number with dd; which one is which is looked for in the page headers.
 */
#include <stdlib.h>
#include <unistd.h>

#include "kv.h"
#include "shell.h"

#define PAGE 4096u

/* Three tables of three kinds, several leaves each. */
static void make_tables(void)
{
    expect(0, "", "seq -f 'key%%05g' 3000 | sed 's/$/\\ta value of the record/' > in.tsv");
    expect(0, "", "$K load -q a.kv in.tsv");
    expect(0, "", "$K load -q -t two --counted a.kv in.tsv");
    expect(0, "", "$K load -q -t dup --dup a.kv in.tsv && $K put -t dup a.kv key00007 another");
    expect(0, "5\n", "$K sequence -t two a.kv 5 > /dev/null; $K sequence -t two a.kv");
    expect(0, "",
           "for t in two dup; do $K scan -t $t a.kv > $t.tsv; done; $K scan a.kv > main.tsv");
}

/* Zeroes page `pgno` of a copy, bad.kv. */
static void lose_page(unsigned long long pgno)
{
    expect(
        0, "",
        "cp a.kv bad.kv && dd if=/dev/zero of=bad.kv bs=%u seek=%llu count=1 conv=notrunc 2>/dev/null",
        PAGE, pgno);
}

/* The last page of this type and level in the file. */
static unsigned long long find_page(unsigned type, unsigned level)
{
    size_t size;
    uint8_t *bytes = file_read(tmp_path("a.kv"), &size);
    unsigned long long found = 0;

    for (size_t pgno = 1; pgno < size / PAGE; pgno++) {
        const uint8_t *page = bytes + pgno * PAGE;
        if (pgno != 65536 / PAGE && page[8] == (pgno & 255) && page[9] == (pgno >> 8 & 255) &&
            page[14] == type && page[15] == level)
            found = pgno;
    }
    free(bytes);
    ck_assert_uint_ne(found, 0);
    return found;
}

static void same_tables(const char *db)
{
    expect(0, "", "$K scan %s | cmp - main.tsv", db);
    expect(0, "", "for t in two dup; do $K scan -t $t %s | cmp - $t.tsv; done", db);
}

START_TEST(a_sound_database_is_salvaged_whole_into_a_new_one)
{
    make_tables();
    expect(0, "", "$K salvage a.kv new.kv");
    err_has("0 losses");
    expect(0, "new.kv: sound\n", "$K check new.kv");
    same_tables("new.kv");
    expect(0, "dup\t3001\tduplicates\ntwo\t3000\tcounted\n", "$K tables new.kv");
    expect(0, "5\n", "$K sequence -t two new.kv");
}
END_TEST

START_TEST(a_dump_of_it_loads_again)
{
    make_tables();
    expect(0, "", "$K salvage a.kv | $K load -q new.kv");
    same_tables("new.kv");
    expect(0, "", "$K salvage --print a.kv > print.dump");
    expect(0, "format=print\n", "grep -m1 format print.dump");
    expect(0, "", "$K load -q print.kv print.dump");
    same_tables("print.kv");
}
END_TEST

START_TEST(a_file_without_meta_slots_opens_no_more_but_is_salvaged)
{
    make_tables();
    expect(0, "",
           "cp a.kv bad.kv && dd if=/dev/zero of=bad.kv bs=512 count=1 conv=notrunc 2>/dev/null");
    expect(0, "", "dd if=/dev/zero of=bad.kv bs=512 seek=128 count=1 conv=notrunc 2>/dev/null");
    expect(3, NULL, "$K scan bad.kv");
    expect(1, "", "$K salvage bad.kv new.kv");
    err_has("lost: page 0: a meta slot");
    same_tables("new.kv");
}
END_TEST

START_TEST(below_a_lost_branch_all_records_are_found)
{
    make_tables();
    lose_page(find_page(1, 1));
    expect(1, "", "$K salvage bad.kv new.kv");
    err_has("cannot be read, or the checksum is wrong");
    err_has("from leaves without a tree, of which 0 may be old; 1 loss");
    same_tables("new.kv");
    expect(1, "", "$K salvage -q bad.kv > bad.dump");
    expect(0, "", "$K load -q again.kv bad.dump");
    same_tables("again.kv");
}
END_TEST

START_TEST(a_lost_leaf_is_named_with_its_keys)
{
    make_tables();
    lose_page(find_page(2, 0));
    expect(1, NULL, "$K salvage --no-stale --json bad.kv new.kv");
    out_has("\"what\":\"cannot be read, or the checksum is wrong\"");
    out_has("\"level\":0");
    out_has("\"from\":\"key0");
    out_has("\"complete\":false");
    out_has("\"lost\":1,");
    expect(0, "",
           "$K scan -t dup new.kv > got.tsv; $K scan -t two new.kv >> got.tsv; "
           "cat dup.tsv two.tsv | sort > all; sort got.tsv | comm -13 all - ");
    expect(0, "new.kv: sound\n", "$K check new.kv");
}
END_TEST

START_TEST(check_names_table_and_keys_of_the_damage)
{
    make_tables();
    lose_page(find_page(2, 0));
    expect(1, NULL, "$K check --json bad.kv");
    out_has("\"table\":\"dup\"");
    out_has("\"from\":\"key0");
    out_has("\"to\":");
    out_has("\"sound\":false");
    ck_assert_ptr_null(strstr(shell_out, "leak"));
    expect(1, NULL, "$K check bad.kv");
    out_has("table dup, keys from key0");
}
END_TEST

START_TEST(named_tables_behind_a_damaged_leaf_of_the_main_table_are_checked_too)
{
    unsigned long long dup;

    make_tables();
    dup = find_page(2, 0);
    expect(0, "", "$K del a.kv key00001");
    lose_page(find_page(2, 0) != dup ? find_page(2, 0) : 1);
    expect(0, "", "cp bad.kv a.kv");
    lose_page(dup);
    expect(1, NULL, "$K check --json bad.kv");
    out_has("\"table\":\"dup\"");
}
END_TEST

START_TEST(what_cannot_be_salvaged_is_told_and_leaves_nothing_behind)
{
    make_tables();
    expect(4, "", "$K salvage none.kv new.kv");
    expect(3, "", "$K salvage in.tsv new.kv");
    expect(4, "", "$K salvage a.kv in.tsv");
    err_has("File exists");
    expect(2, "", "$K salvage --json a.kv");
    expect(2, "", "$K salvage --print a.kv new.kv");
    expect(2, "", "$K salvage --page-size 8192 a.kv");
    expect(0, "", "ls | grep new; true");
    expect(4, "", "$K salvage a.kv > /dev/full");
}
END_TEST

START_TEST(a_new_database_has_the_page_size_and_the_permissions_of_the_old_one)
{
    expect(0, "", "echo 'k\tv' | $K load -q --page-size 16384 a.kv && chmod 640 a.kv");
    expect(0, "", "umask 0; $K salvage -q a.kv new.kv && stat -c %%a new.kv | grep -qx 640");
    expect(0, "16384\n", "$K stat --json new.kv | grep -o '\"page_size\":[0-9]*' | cut -d: -f2");
    expect(0, "", "$K salvage -q --page-size 4096 a.kv small.kv");
    expect(0, "4096\n", "$K stat --json small.kv | grep -o '\"page_size\":[0-9]*' | cut -d: -f2");
}
END_TEST

static int by_length(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

START_TEST(a_table_of_a_users_order_goes_into_a_dump_and_no_new_database)
{
    struct kv_table_options how = KV_TABLE_OPTIONS_INIT;
    struct kv_options options = KV_OPTIONS_INIT;
    char text[] = "bbbzz";
    struct kv_val key = {2, text + 3}, longer = {3, text};
    struct kv_env *env;
    struct kv_txn *txn;
    kv_table table;

    options.flags = KV_CREATE;
    how.order = KV_ORDER_CUSTOM;
    how.comparator = "length";
    ck_ok(kv_env_open(tmp_path("a.kv"), &options, &env));
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_open(txn, "sized", KV_CREATE, &how, &table));
    ck_ok(kv_put(txn, table, &key, &key, 0));
    ck_ok(kv_put(txn, table, &longer, &longer, 0));
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_close(env));
    expect(0, " zz\n zz\n bbb\n bbb\n", "$K salvage --print a.kv | grep '^ '");
    out_has("bbb");
    expect(1, "", "$K salvage a.kv new.kv");
    err_has("cannot be made here");
    expect(0, "", "$K tables new.kv");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kvctl_salvage");

    shell_add(s, "sound", a_sound_database_is_salvaged_whole_into_a_new_one);
    shell_add(s, "sound", a_dump_of_it_loads_again);
    shell_add(s, "damage", a_file_without_meta_slots_opens_no_more_but_is_salvaged);
    shell_add(s, "damage", below_a_lost_branch_all_records_are_found);
    shell_add(s, "damage", a_lost_leaf_is_named_with_its_keys);
    shell_add(s, "check", check_names_table_and_keys_of_the_damage);
    shell_add(s, "check", named_tables_behind_a_damaged_leaf_of_the_main_table_are_checked_too);
    shell_add(s, "statuses", what_cannot_be_salvaged_is_told_and_leaves_nothing_behind);
    shell_add(s, "new", a_new_database_has_the_page_size_and_the_permissions_of_the_old_one);
    shell_add(s, "orders", a_table_of_a_users_order_goes_into_a_dump_and_no_new_database);
    return s;
}

HARNESS_MAIN(suite)
