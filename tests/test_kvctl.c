/* SPDX-License-Identifier: MIT */
/*
 * kvctl as a user meets it: the program is run by the shell in a fresh folder, and its output, messages
 * and exit status are compared. "$K" in a command is the program under test ($KVCTL, or the one beside
 * the release library). Interoperation is tested against LMDB's and Berkeley DB's own tools where they
 * are installed.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "kv.h"

#define COMMAND_BYTES_MAX 8192

/* ---- Running ------------------------------------------------------------------------------- */

static char *last_out; /* of the last command, zero-terminated */
static char *last_err;

static void read_outputs(void)
{
    size_t size;
    free(last_out);
    free(last_err);
    last_out = (char *)file_read(tmp_path("stdout"), &size);
    last_out[size] = 0;
    last_err = (char *)file_read(tmp_path("stderr"), &size);
    last_err[size] = 0;
}

/* Runs a shell command in the tests' folder; returns its exit status. */
static int run_shell(const char *command)
{
    char script[COMMAND_BYTES_MAX + 200];
    snprintf(script, sizeof script, "cd '%s' && { %s\n} >stdout 2>stderr", tmp_dir(), command);
    int status = system(script);
    read_outputs();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs a command and wants this exit status, and this text on stdout if it is not NULL. */
static void expect_at(int line, int status, const char *out, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void expect_at(int line, int status, const char *out, const char *format, ...)
{
    char command[COMMAND_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int got = run_shell(command);
    ck_assert_msg(got == status, "line %d: %s\nexit status %d, not %d\nstdout: %.2000s\nstderr: %s",
                  line, command, got, status, last_out, last_err);
    ck_assert_msg(!out || !strcmp(out, last_out),
                  "line %d: %s\nwants: %.2000s\ngot:   %.2000s\nstderr: %s", line, command, out,
                  last_out, last_err);
}

#define expect(status, out, ...) expect_at(__LINE__, (status), (out), __VA_ARGS__)

/* The last command's stderr, or stdout, holds this text. */
#define err_has(text)                                                                              \
    ck_assert_msg(strstr(last_err, (text)) != NULL, "stderr lacks '%s': %s", (text), last_err)
#define out_has(text)                                                                              \
    ck_assert_msg(strstr(last_out, (text)) != NULL, "stdout lacks '%s': %s", (text), last_out)

static bool has_tool(const char *name)
{
    char command[200];
    snprintf(command, sizeof command, "command -v %s", name);
    return run_shell(command) == 0;
}

static void setup(void)
{
    tmp_clear();
    char *path = realpath(kvctl_path(), NULL);
    ck_assert_msg(path && !access(path, X_OK), "no program %s", kvctl_path());
    setenv("K", path, 1);
    free(path);
}

static void teardown(void)
{
    free(last_out);
    free(last_err);
    last_out = NULL;
    last_err = NULL;
}

static const char *const verbs[] = {"get",   "put",  "del",    "scan", "load",    "dump", "stat",
                                    "check", "copy", "tables", "drop", "readers", "trim"};

#define VERBS_COUNT ((int)(sizeof verbs / sizeof verbs[0]))

/* Arguments that make a verb's command line complete, behind the database. */
static const char *verb_args(const char *verb)
{
    if (!strcmp(verb, "get") || !strcmp(verb, "del"))
        return "key";
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
    setup();
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
    ck_assert_str_eq(last_err, "");
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
    {HEADER "duplicates=1\\nHEADER=END\\nDATA=END\\n", "line 4, byte 38: tables with duplicates=1"},
    {HEADER "dupsort=1\\nHEADER=END\\nDATA=END\\n", "tables with dupsort=1 are not supported"},
    {HEADER "integerkey=1\\nHEADER=END\\nDATA=END\\n", "tables with integerkey=1"},
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
    if (!has_tool("mdb_load") || !has_tool("mdb_dump")) {
        printf("no mdb_load or mdb_dump here: not tested\n");
        return;
    }
    make_random(12, 1);
    expect(0, "", "$K dump a.kv | mdb_load -n one.mdb");
    ck_assert_str_eq(last_err, "");
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
    if (!has_tool("mdb_load") || !has_tool("mdb_dump")) {
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
    if (!has_tool("db_load") || !has_tool("db_dump")) {
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

/* ---- stat, check, copy, drop, readers, trim --------------------------------------------------- */

static void make_numbers(void)
{
    setup();
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

/* ---- Beside other users ------------------------------------------------------------------------ */

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

/* ---- Output that cannot be written -------------------------------------------------------------- */

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
    ck_assert_str_eq(last_err, "");
    expect(0, "141\n", "cat status");
    expect(0, NULL, "trap '' PIPE; { $K scan a.kv; echo $? >status; } | head -n 1");
    expect(0, "4\n", "cat status");
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
    harness_add_fixture(s, name, test, setup, teardown);
}

static void add_loop(Suite *s, const char *name, const TTest *test, int end)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test, 0, end);
    suite_add_tcase(s, tc);
}

static void add_load(Suite *s)
{
    add(s, "load", load_knows_each_format_by_its_first_line);
    add(s, "load", load_tells_what_it_did);
    add(s, "load", a_bad_record_is_named_and_nothing_is_loaded);
    add(s, "load", batches_keep_what_was_committed_before_a_bad_record);
    add(s, "load", unsorted_and_repeated_keys_end_up_in_order);
    add(s, "load", keys_that_the_database_refuses_are_bad_records);
    add(s, "load", tab_separated_lines_may_be_hex_or_raw);
    add(s, "load", lines_and_stanzas_of_megabytes_load);
    add(s, "load", json_lines_hold_any_text);
    add_loop(s, "load bad json", bad_json_is_named, sizeof bad_json / sizeof bad_json[0]);
    add(s, "load stanzas", stanzas_are_keyed_by_a_field);
    add(s, "load stanzas", bad_stanzas_are_named);
}

static void add_dump(Suite *s)
{
    add(s, "dump", dump_writes_the_berkeley_format);
    add(s, "dump", all_tables_dump_and_load_also_empty_ones);
    add_loop(s, "dump bad", bad_dumps_are_named_and_nothing_is_loaded,
             sizeof bad_dumps / sizeof bad_dumps[0]);
    add(s, "dump", bad_pairs_of_a_dump_are_skipped_whole);
    add(s, "dump", random_bytes_survive_every_format);
    add(s, "dump tools", lmdb_tools_read_and_write_our_dumps);
    add(s, "dump tools", a_database_beyond_lmdbs_default_map_loads_there);
    add(s, "dump tools", berkeley_tools_read_and_write_our_dumps);
}

static void add_rest(Suite *s)
{
    harness_add_fixture(s, "scan", scan_gives_records_in_order_and_no_tables, make_words, teardown);
    harness_add_fixture(s, "scan", scan_keeps_to_its_range, make_words, teardown);
    harness_add_fixture(s, "scan", scan_goes_backwards, make_words, teardown);
    harness_add_fixture(s, "scan", scan_speaks_json_hex_and_raw, make_words, teardown);
    harness_add_fixture(s, "whole", stat_prints_figures, make_numbers, teardown);
    harness_add_fixture(s, "whole", check_calls_a_sound_database_sound, make_numbers, teardown);
    harness_add_fixture(s, "damage", check_names_damage_and_fails_with_1, make_numbers, teardown);
    harness_add_fixture(s, "whole", a_copy_holds_the_same_records, make_numbers, teardown);
    harness_add_fixture(s, "whole", drop_removes_tables_or_their_records, make_numbers, teardown);
    harness_add_fixture(s, "whole", trim_tells_what_it_gave_back, make_numbers, teardown);
    harness_add_fixture(s, "shared", readers_lists_the_readers_of_other_processes, make_numbers,
                        teardown);
    harness_add_fixture(s, "shared", a_writer_waits_for_another_no_longer_than_told, make_numbers,
                        teardown);
    harness_add_fixture(s, "stdout", a_full_disk_on_stdout_is_an_error, make_numbers, teardown);
    harness_add_fixture(s, "stdout", a_closed_pipe_ends_it_quietly, make_numbers, teardown);
}

static Suite *suite(void)
{
    Suite *s = suite_create("kvctl");
    add(s, "usage", without_a_verb_it_is_wrong_usage);
    add(s, "usage", version_and_help_are_printed);
    add(s, "usage", wrong_option_values_are_refused);
    add_loop(s, "usage help", each_verb_has_help_with_an_example, VERBS_COUNT);
    add_loop(s, "usage wrong", each_verb_refuses_a_wrong_command_line, VERBS_COUNT);
    add_loop(s, "usage open", each_verb_fails_with_3_on_what_is_no_database, VERBS_COUNT);
    add(s, "records", put_makes_the_database_and_get_reads_it);
    add(s, "records", get_prints_what_it_finds_and_fails_with_1_for_the_rest);
    add(s, "records", values_from_stdin_and_files_are_kept_byte_for_byte);
    add(s, "records", text_is_escaped_so_that_it_reads_back);
    add(s, "empty", empty_keys_and_values_are_records);
    add(s, "records", no_overwrite_keeps_the_value_and_fails_with_4);
    add(s, "records", a_large_value_comes_back);
    add(s, "records", a_key_that_is_too_long_is_an_error);
    add(s, "records", del_deletes_and_names_what_is_missing);
    add(s, "records", named_tables_are_apart_from_the_main_one);
    add(s, "records", lazy_writes_are_there_after_the_close);
    add(s, "records", without_locks_no_lock_file_appears);
    add_load(s);
    add_dump(s);
    add_rest(s);
    return s;
}

HARNESS_MAIN(suite)
