/* SPDX-License-Identifier: MIT */
/*
 * kvctl as a user meets it: command lines, records, ranges, figures, and what happens beside other
 * users and when output can't be written. Its formats are tested in test_kvctl_load.c.
 */
#include <stdlib.h>
#include <unistd.h>

#include "kv.h"
#include "shell.h"

static const char *const verbs[] = {"get",      "put",    "add",     "del",    "scan",
                                    "count",    "nth",    "rank",    "load",   "dump",
                                    "stat",     "check",  "copy",    "tables", "drop",
                                    "sequence", "marker", "readers", "trim"};

#define VERBS_COUNT ((int)(sizeof verbs / sizeof verbs[0]))

/* Arguments that make a verb's command line complete, behind the database. */
static const char *verb_args(const char *verb)
{
    if (!strcmp(verb, "get") || !strcmp(verb, "del") || !strcmp(verb, "rank"))
        return "key";
    if (!strcmp(verb, "add"))
        return "--no-create key";
    if (!strcmp(verb, "nth"))
        return "0";
    if (!strcmp(verb, "put"))
        return "--no-create key value";
    if (!strcmp(verb, "load"))
        return "--no-create --format tsv /dev/null";
    if (!strcmp(verb, "copy"))
        return "target.kv";
    return !strcmp(verb, "drop") ? "table" : "";
}

/* ---- Command lines ------------------------------------------------------------------------- */

START_TEST(without_a_verb_it_is_wrong_usage)
{
    expect(2, "", "$K");
    expect(2, "", "$K nonsense a.kv");
    err_has("no verb 'nonsense'");
    expect(2, "", "$K help nonsense");
}
END_TEST

START_TEST(version_and_help_are_printed)
{
    expect(0, "kvctl " KV_VERSION_STRING " (libkv " KV_VERSION_STRING ")\n", "$K --version");
    expect(0, NULL, "$K --help");
    for (int i = 0; i < VERBS_COUNT; i++)
        out_has(verbs[i]);
    expect(0, NULL, "$K help");
    out_has("Exit status");
}
END_TEST

START_TEST(each_verb_has_help_with_an_example)
{
    expect(0, NULL, "$K %s --help", verbs[_i]);
    out_has("Usage: kvctl");
    out_has("--help");
    out_has("Example:\n  ");
    expect(0, "", "$K %s --help >one; $K help %s >two; cmp one two", verbs[_i], verbs[_i]);
}
END_TEST

START_TEST(each_verb_refuses_a_wrong_command_line)
{
    expect(2, "", "$K %s", verbs[_i]);
    err_has("no database given");
    expect(2, "", "$K %s --nonsense a.kv %s", verbs[_i], verb_args(verbs[_i]));
    err_has("unknown option --nonsense");
    expect(2, "", "$K %s -Z a.kv %s", verbs[_i], verb_args(verbs[_i]));
    err_has("unknown option -Z");
}
END_TEST

START_TEST(each_verb_fails_with_3_on_what_is_no_database)
{
    const char *verb = verbs[_i];
    expect(3, "", "$K %s missing.kv %s </dev/null", verb, verb_args(verb));
    err_has("missing.kv");
    expect(3, "", "mkdir folder; $K %s folder %s </dev/null", verb, verb_args(verb));
    expect(3, "", "seq 9999 >numbers; $K %s numbers %s </dev/null", verb, verb_args(verb));
    expect(3, "", ": >empty; $K %s empty %s </dev/null", verb, verb_args(verb));
    expect(0, "", "test ! -e missing.kv && test ! -e target.kv");
}
END_TEST

START_TEST(wrong_option_values_are_refused)
{
    expect(2, "", "$K scan a.kv --limit x");
    expect(2, "", "$K scan a.kv --limit 99999999999999999999999");
    expect(2, "", "$K scan a.kv --limit");
    err_has("wants an argument");
    expect(2, "", "$K scan a.kv --reverse=yes");
    err_has("--reverse takes no argument");
    expect(2, "", "$K scan a.kv -n");
    err_has("--limit wants an argument");
    expect(2, "", "$K scan a.kv extra");
    expect(2, "", "$K scan a.kv --hex --raw");
    expect(2, "", "$K scan a.kv --hex --from 6");
    expect(2, "", "$K load a.kv --format nonsense");
    expect(2, "", "$K dump a.kv --format nonsense");
    expect(2, "", "$K dump a.kv --all --format tsv");
    expect(2, "", "$K dump a.kv --all --table t");
    expect(2, "", "$K put a.kv key value --page-size 4X");
    expect(2, "", "$K put a.kv key value --page-size 5000");
    expect(2, "", "$K put a.kv --table 'a\\x00b' key value");
    expect(2, "", "$K drop a.kv");
    expect(2, "", "$K drop a.kv --main");
    expect(2, "", "$K copy a.kv - --json");
}
END_TEST

/* ---- get, put, del ------------------------------------------------------------------------- */

START_TEST(put_makes_the_database_and_get_reads_it)
{
    expect(0, "", "$K put a.kv alice 'in Wonderland'");
    expect(0, "in Wonderland\n", "$K get a.kv alice");
    expect(0, "", "$K put a.kv alice changed");
    expect(0, "changed\n", "$K get a.kv alice");
    expect(0, "{\"key\":\"alice\",\"value\":\"changed\"}\n", "$K get --json a.kv alice");
}
END_TEST

START_TEST(get_prints_what_it_finds_and_fails_with_1_for_the_rest)
{
    expect(0, "", "$K put a.kv a 1 && $K put a.kv c 3");
    expect(1, "1\n3\n", "$K get a.kv a b c");
    err_has("key b");
}
END_TEST

START_TEST(values_from_stdin_and_files_are_kept_byte_for_byte)
{
    expect(0, "", "printf 'a\\000\\n\\\\\\377' >value; $K put a.kv k <value");
    expect(0, "", "$K get --raw a.kv k | cmp - value");
    expect(0, "a\\x00\\n\\\\\\xff\n", "$K get a.kv k");
    expect(0, "61000a5cff\n", "$K get --hex a.kv 6b");
    expect(0, "", "$K put a.kv f --file value; $K get --raw a.kv f | cmp - value");
    expect(2, "", "$K put a.kv f --file value value");
    expect(4, "", "$K put a.kv f --file missing");
}
END_TEST

START_TEST(text_is_escaped_so_that_it_reads_back)
{
    expect(0, "", "$K put a.kv 'a\\tb\\\\c\\nd\\re\\xfff\\x1bg\xc3\xa9' 'x\\x00y'");
    expect(0, "a\\tb\\\\c\\nd\\re\\xfff\\x1bg\xc3\xa9\n", "$K scan --keys-only a.kv");
    expect(0, "x\\x00y\n", "$K get a.kv \"$($K scan --keys-only a.kv)\"");
    expect(0, "", "$K put a.kv 'c1\\xc2\\x9b' ''");
    expect(0, "c1\\xc2\\x9b\t\n", "$K scan --prefix c1 a.kv");
    expect(2, "", "$K get a.kv 'a\\q'");
    err_has("byte 1");
    expect(2, "", "$K get a.kv 'a\\x4'");
    expect(1, "", "$K get --raw a.kv 'a\\q'");
}
END_TEST

START_TEST(empty_keys_and_values_are_records)
{
    expect(0, "", "$K put a.kv '' empty && $K put a.kv e ''");
    expect(0, "empty\n", "$K get a.kv ''");
    expect(0, "\n", "$K get a.kv e");
    expect(0, "", "$K get --raw a.kv e");
    expect(0, "\tempty\ne\t\n", "$K scan a.kv");
    expect(0, "", "$K dump a.kv >d; $K load b.kv <d; $K dump b.kv | cmp - d");
}
END_TEST

START_TEST(no_overwrite_keeps_the_value_and_fails_with_4)
{
    expect(0, "", "$K put --no-overwrite a.kv k one");
    expect(4, "", "$K put --no-overwrite a.kv k two");
    expect(0, "one\n", "$K get a.kv k");
}
END_TEST

START_TEST(a_large_value_comes_back)
{
    expect(0, "", "head -c 5000001 /dev/urandom >value; $K put a.kv big <value");
    expect(0, "", "$K get --raw a.kv big | cmp - value");
    expect(0, NULL, "$K check a.kv");
}
END_TEST

START_TEST(a_key_that_is_too_long_is_an_error)
{
    expect(4, "", "$K put a.kv \"$(head -c 40000 /dev/zero | tr '\\0' k)\" value");
    expect(0, "0\n", "$K scan --count a.kv");
}
END_TEST

START_TEST(del_deletes_and_names_what_is_missing)
{
    expect(0, "", "printf 'a\\t1\\nb\\t2\\nc\\t3\\n' | $K load -q a.kv");
    expect(1, "", "$K del a.kv a nothing c");
    err_has("key nothing");
    expect(0, "b\t2\n", "$K scan a.kv");
    expect(0, "", "$K del --hex a.kv 62");
    expect(0, "", "$K scan a.kv");
}
END_TEST

START_TEST(named_tables_are_apart_from_the_main_one)
{
    expect(0, "", "$K put a.kv k main && $K put -t one a.kv k first && $K put -t two a.kv k 2nd");
    expect(0, "main\n", "$K get a.kv k");
    expect(0, "first\n", "$K get -t one a.kv k");
    expect(0, "k\tmain\n", "$K scan a.kv");
    expect(0, "one\t1\ntwo\t1\n", "$K tables a.kv");
    expect(0, NULL, "$K tables --json a.kv");
    out_has("{\"name\":\"one\",\"entries\":1,");
    expect(1, "", "$K get -t three a.kv k");
    err_has("three");
    expect(1, "", "$K put --no-create -t three a.kv k v");
    expect(4, "", "$K get a.kv one");
    expect(0, "", "$K put -t 'a\\tb' a.kv k v");
    expect(0, "a\\tb\t1\none\t1\ntwo\t1\n", "$K tables a.kv");
}
END_TEST

START_TEST(lazy_writes_are_there_after_the_close)
{
    expect(0, "", "$K put --lazy a.kv k v && $K put --lazy --page-size 8K b.kv k v");
    expect(0, "v\nv\n", "$K get a.kv k; $K get b.kv k");
    expect(0, NULL, "$K stat --json b.kv");
    out_has("\"page_size\":8192");
}
END_TEST

START_TEST(without_locks_no_lock_file_appears)
{
    expect(0, "", "$K put --no-lock a.kv k v && test ! -e a.kv-lock");
    expect(0, "k\tv\n", "$K scan --no-lock a.kv && test ! -e a.kv-lock");
}
END_TEST

/* ---- scan ---------------------------------------------------------------------------------- */

static void make_words(void)
{
    shell_setup();
    expect(
        0, "",
        "printf 'a\\t1\\nab\\t2\\nabc\\t3\\nac\\t4\\nb\\t5\\n\\\\xff\\t6\\n\\\\xff\\\\xffz\\t7\\n'"
        " | $K load -q a.kv");
    expect(0, "", "$K put -t aa a.kv k v");
}

START_TEST(scan_gives_records_in_order_and_no_tables)
{
    expect(0, "a\t1\nab\t2\nabc\t3\nac\t4\nb\t5\n\\xff\t6\n\\xff\\xffz\t7\n", "$K scan a.kv");
    expect(0, "7\n", "$K scan --count a.kv");
    expect(0, "{\"count\":7}\n", "$K scan --count --json a.kv");
    expect(0, "a\nab\n", "$K scan -k -n 2 a.kv");
    expect(0, "", "$K scan --limit 0 a.kv");
    expect(0, "0\n", "$K scan --limit 0 --count a.kv");
}
END_TEST

START_TEST(scan_keeps_to_its_range)
{
    expect(0, "ab\nabc\n", "$K scan -k --prefix ab a.kv");
    expect(0, "\\xff\n\\xff\\xffz\n", "$K scan -k --prefix '\\xff' a.kv");
    expect(0, "\\xff\\xffz\n", "$K scan -k --prefix '\\xff\\xff' a.kv");
    expect(0, "ab\nabc\nac\n", "$K scan -k --from ab --to b a.kv");
    expect(0, "abc\n", "$K scan -k --prefix ab --from abb a.kv");
    expect(0, "ab\n", "$K scan -k --prefix ab --to abb a.kv");
    expect(0, "", "$K scan -k --from b --to ab a.kv");
    expect(0, "", "$K scan -k --prefix zz a.kv");
    expect(0, "", "$K scan -k --to '' a.kv");
    expect(0, "b\n\\xff\n\\xff\\xffz\n", "$K scan -k --from ad a.kv");
    expect(0, "6162\n616263\n", "$K scan --hex -k --prefix 6162 a.kv");
}
END_TEST

START_TEST(scan_goes_backwards)
{
    expect(0, "\\xff\\xffz\n\\xff\nb\nac\nabc\nab\na\n", "$K scan -k --reverse a.kv");
    expect(0, "abc\nab\n", "$K scan -k --reverse --prefix ab a.kv");
    expect(0, "ac\nabc\n", "$K scan -k --reverse --to b -n 2 a.kv");
    expect(0, "ac\nabc\nab\n", "$K scan -k --reverse --from ab --to ad a.kv");
    expect(0, "", "$K scan -k --reverse --to a a.kv");
    expect(0, "", "$K scan -k --reverse --from b --to ab a.kv");
    expect(0, "\\xff\\xffz\n", "$K scan -k --reverse --prefix '\\xff\\xff' a.kv");
}
END_TEST

START_TEST(scan_speaks_json_hex_and_raw)
{
    expect(0, "{\"key\":\"abc\",\"value\":\"3\"}\n", "$K scan --json --prefix abc a.kv");
    expect(0, "{\"key_hex\":\"ff\",\"value\":\"6\"}\n",
           "$K scan --json --from '\\xff' --limit 1 a.kv");
    expect(0, "{\"key_hex\":\"616263\",\"value_hex\":\"33\"}\n",
           "$K scan --json --hex --prefix 616263 a.kv");
    expect(0, "{\"key\":\"abc\"}\n", "$K scan --json -k --prefix abc a.kv");
    expect(0, "616263\t33\n", "$K scan --hex --prefix 616263 a.kv");
    expect(0, "",
           "$K put a.kv 'n\\n' 'v\\t' && $K scan --raw --prefix n a.kv >got &&"
           " printf 'n\\n\\tv\\t\\n' | cmp - got");
    expect(0, "{\"key\":\"q\\\"\\\\\\u0001\\u007f/\xc3\xa9\",\"value\":\"\\t\"}\n",
           "$K put a.kv 'q\"\\\\\\x01\\x7f/\xc3\xa9' '\\t' && $K scan --json --prefix q a.kv");
}
END_TEST

/* ---- stat, check, copy, drop, readers, trim ---------------------------------------------------
 */

static void make_numbers(void)
{
    shell_setup();
    expect(0, "", "seq -f '%%05g' 1 2000 | sed 's/.*/&\\tvalue of &/' | $K load -q a.kv");
}

START_TEST(stat_prints_figures)
{
    expect(0, NULL, "$K stat --json a.kv");
    out_has("{\"path\":\"a.kv\",\"file_id\":\"");
    out_has("\"page_size\":4096");
    out_has("\"table\":{\"name\":null,\"entries\":2000,");
    expect(0, NULL, "$K put -t t a.kv k v && $K stat --table t a.kv");
    out_has("table t\n");
    out_has("  entries            1\n");
    expect(1, "", "$K stat --table missing a.kv");
}
END_TEST

START_TEST(check_calls_a_sound_database_sound)
{
    expect(0, "a.kv: sound\n", "$K check a.kv");
    expect(0, "a.kv: sound\n", "$K check --read-only a.kv");
    expect(0, "{\"findings\":[],\"count\":0,\"sound\":true}\n", "$K check --json a.kv");
}
END_TEST

/* Flips a bit where the text stands in the file. */
static void damage(const char *file, const char *text)
{
    size_t size;
    uint8_t *bytes = file_read(tmp_path("%s", file), &size);
    uint8_t *at = memmem(bytes, size, text, strlen(text));
    ck_assert_ptr_nonnull(at);
    while (at) { /* the page may stand there in several versions */
        at[1] ^= 0x40;
        at = memmem(bytes, size, text, strlen(text));
    }
    file_write(tmp_path("%s", file), bytes, size);
    free(bytes);
}

START_TEST(check_names_damage_and_fails_with_1)
{
    damage("a.kv", "value of 01234");
    expect(1, NULL, "$K check a.kv");
    out_has("page ");
    out_has("finding");
    expect(1, NULL, "$K check --json a.kv");
    out_has("\"sound\":false}");
    out_has("\"pgno\":");
    expect(3, "", "$K get a.kv 01234");
    expect(3, NULL, "$K scan a.kv");
    expect(3, NULL, "$K dump a.kv");
}
END_TEST

START_TEST(a_copy_holds_the_same_records)
{
    expect(0, "", "$K put -t t a.kv k v; $K copy a.kv b.kv && $K copy --compact a.kv c.kv");
    expect(0, "", "$K copy a.kv - >d.kv && $K copy -c a.kv - | cat >e.kv");
    for (const char *name = "bcde"; *name; name++) {
        expect(0, "",
               "$K dump -a --mapsize 0 a.kv >want; $K dump -a --mapsize 0 %c.kv | cmp - want",
               *name);
        expect(0, NULL, "$K check %c.kv", *name);
    }
    expect(4, "", "$K copy a.kv b.kv");
    expect(4, "", "$K copy a.kv nowhere/b.kv");
    expect(0, NULL, "$K copy --json a.kv f.kv");
    out_has("{\"txnid\":");
    expect(4, "", "$K copy a.kv - >/dev/full");
}
END_TEST

START_TEST(drop_removes_tables_or_their_records)
{
    expect(0, "", "$K put -t t a.kv k v; $K drop --empty a.kv t");
    expect(0, "t\t0\n", "$K tables a.kv");
    expect(0, "", "$K drop a.kv t && $K tables a.kv");
    expect(1, "", "$K drop a.kv t");
    expect(0, "0\n", "$K drop --empty --main a.kv && $K scan --count a.kv");
    expect(0, NULL, "$K check a.kv");
}
END_TEST

START_TEST(trim_tells_what_it_gave_back)
{
    expect(0, NULL, "$K drop --empty --main a.kv && $K trim a.kv");
    out_has(" bytes given back\n");
    expect(0, NULL, "$K trim --json a.kv");
    out_has("{\"bytes\":");
    expect(0, NULL, "$K check a.kv");
}
END_TEST

/* ---- Beside other users ------------------------------------------------------------------------
 */

START_TEST(readers_lists_the_readers_of_other_processes)
{
    struct kv_env *env;
    struct kv_txn *txn;
    char want[100];
    expect(0, "[]\n", "$K readers --json a.kv");
    expect(0, "", "$K readers a.kv");
    ck_ok(kv_env_open(tmp_path("a.kv"), NULL, &env));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    snprintf(want, sizeof want, "{\"pid\":%ld,\"txnid\":%llu,", (long)getpid(),
             (unsigned long long)kv_txn_id(txn));
    expect(0, NULL, "$K readers --json a.kv");
    out_has(want);
    out_has("\"alive\":true");
    expect(0, NULL, "$K readers a.kv");
    out_has("PAGES_HELD");
    kv_txn_abort(txn);
    ck_ok(kv_env_close(env));
}
END_TEST

START_TEST(a_writer_waits_for_another_no_longer_than_told)
{
    struct kv_env *env;
    struct kv_txn *txn;
    ck_ok(kv_env_open(tmp_path("a.kv"), NULL, &env));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    expect(4, "", "$K put --timeout 30 a.kv k v");
    err_has(kv_strerror(KV_ETIMEOUT));
    expect(0, "value of 00001\n", "$K get a.kv 00001");
    expect(0, "a.kv: sound\n", "$K check --read-only a.kv");
    kv_txn_abort(txn);
    expect(0, "", "$K put --timeout 30 a.kv k v");
    ck_ok(kv_env_close(env));
}
END_TEST

/* ---- Output that cannot be written --------------------------------------------------------------
 */

START_TEST(a_full_disk_on_stdout_is_an_error)
{
    expect(4, "", "$K scan a.kv >/dev/full");
    err_has("cannot write to stdout: No space left on device");
    expect(4, "", "$K dump a.kv >/dev/full");
    expect(4, "", "$K get a.kv 00001 >/dev/full");
    expect(4, "", "$K stat a.kv >/dev/full");
    expect(4, "", "$K --version >/dev/full");
    expect(4, "", "$K get a.kv 00001 >&-");
}
END_TEST

START_TEST(a_closed_pipe_ends_it_quietly)
{
    expect(0, "00001\tvalue of 00001\n",
           "seq 1 20000 | sed 's/.*/&\\tx/' | $K load -q a.kv;"
           " { $K scan a.kv; echo $? >status; } | head -n 1");
    ck_assert_str_eq(shell_err, "");
    expect(0, "141\n", "cat status");
    expect(0, NULL, "trap '' PIPE; { $K scan a.kv; echo $? >status; } | head -n 1");
    expect(0, "4\n", "cat status");
}
END_TEST

static void add_rest(Suite *s)
{
    harness_add_fixture(s, "scan", scan_gives_records_in_order_and_no_tables, make_words,
                        shell_teardown);
    harness_add_fixture(s, "scan", scan_keeps_to_its_range, make_words, shell_teardown);
    harness_add_fixture(s, "scan", scan_goes_backwards, make_words, shell_teardown);
    harness_add_fixture(s, "scan", scan_speaks_json_hex_and_raw, make_words, shell_teardown);
    harness_add_fixture(s, "whole", stat_prints_figures, make_numbers, shell_teardown);
    harness_add_fixture(s, "whole", check_calls_a_sound_database_sound, make_numbers,
                        shell_teardown);
    harness_add_fixture(s, "damage", check_names_damage_and_fails_with_1, make_numbers,
                        shell_teardown);
    harness_add_fixture(s, "whole", a_copy_holds_the_same_records, make_numbers, shell_teardown);
    harness_add_fixture(s, "whole", drop_removes_tables_or_their_records, make_numbers,
                        shell_teardown);
    harness_add_fixture(s, "whole", trim_tells_what_it_gave_back, make_numbers, shell_teardown);
    harness_add_fixture(s, "shared", readers_lists_the_readers_of_other_processes, make_numbers,
                        shell_teardown);
    harness_add_fixture(s, "shared", a_writer_waits_for_another_no_longer_than_told, make_numbers,
                        shell_teardown);
    harness_add_fixture(s, "stdout", a_full_disk_on_stdout_is_an_error, make_numbers,
                        shell_teardown);
    harness_add_fixture(s, "stdout", a_closed_pipe_ends_it_quietly, make_numbers, shell_teardown);
}

static Suite *suite(void)
{
    Suite *s = suite_create("kvctl");
    shell_add(s, "usage", without_a_verb_it_is_wrong_usage);
    shell_add(s, "usage", version_and_help_are_printed);
    shell_add(s, "usage", wrong_option_values_are_refused);
    shell_add_loop(s, "usage help", each_verb_has_help_with_an_example, VERBS_COUNT);
    shell_add_loop(s, "usage wrong", each_verb_refuses_a_wrong_command_line, VERBS_COUNT);
    shell_add_loop(s, "usage open", each_verb_fails_with_3_on_what_is_no_database, VERBS_COUNT);
    shell_add(s, "records", put_makes_the_database_and_get_reads_it);
    shell_add(s, "records", get_prints_what_it_finds_and_fails_with_1_for_the_rest);
    shell_add(s, "records", values_from_stdin_and_files_are_kept_byte_for_byte);
    shell_add(s, "records", text_is_escaped_so_that_it_reads_back);
    shell_add(s, "empty", empty_keys_and_values_are_records);
    shell_add(s, "records", no_overwrite_keeps_the_value_and_fails_with_4);
    shell_add(s, "records", a_large_value_comes_back);
    shell_add(s, "records", a_key_that_is_too_long_is_an_error);
    shell_add(s, "records", del_deletes_and_names_what_is_missing);
    shell_add(s, "records", named_tables_are_apart_from_the_main_one);
    shell_add(s, "records", lazy_writes_are_there_after_the_close);
    shell_add(s, "records", without_locks_no_lock_file_appears);
    add_rest(s);
    return s;
}

HARNESS_MAIN(suite)
