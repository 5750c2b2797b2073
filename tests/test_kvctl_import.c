/* SPDX-License-Identifier: MIT */
/*
 * kvctl import: LMDB environments of every kind, made by the genuine library, become databases that
 * hold the same records in the same order; and what is refused leaves nothing behind.
 *
 * After an import both are read from start to end and compared record by record; LMDB's flags must
 * be the table's sequence, and the kind what they say.
 */
#include <dlfcn.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../cli/lmdb_lib.h"
#include "kv.h"
#include "shell.h"

#define MAP_BYTES ((size_t)256 << 20)
#define TABLES_MAX 80
#define LONG_VALUE_BYTES 3000000u

_Static_assert(LMDB_NOSUBDIR == MDB_NOSUBDIR, "as in lmdb.h");
_Static_assert(LMDB_RDONLY == MDB_RDONLY, "as in lmdb.h");
_Static_assert(LMDB_NOLOCK == MDB_NOLOCK, "as in lmdb.h");
_Static_assert(LMDB_REVERSEKEY == MDB_REVERSEKEY && LMDB_DUPSORT == MDB_DUPSORT, "as in lmdb.h");
_Static_assert(LMDB_INTEGERKEY == MDB_INTEGERKEY && LMDB_DUPFIXED == MDB_DUPFIXED, "as in lmdb.h");
_Static_assert(LMDB_INTEGERDUP == MDB_INTEGERDUP && LMDB_REVERSEDUP == MDB_REVERSEDUP, "as there");
_Static_assert((int)LMDB_FIRST == MDB_FIRST && (int)LMDB_NEXT == MDB_NEXT, "as in lmdb.h");
_Static_assert(LMDB_NOTFOUND == MDB_NOTFOUND && LMDB_CORRUPTED == MDB_CORRUPTED, "as in lmdb.h");
_Static_assert(LMDB_VERSION_MISMATCH == MDB_VERSION_MISMATCH, "as in lmdb.h");
_Static_assert(LMDB_INVALID == MDB_INVALID && LMDB_INCOMPATIBLE == MDB_INCOMPATIBLE, "as there");
_Static_assert(LMDB_BAD_VALSIZE == MDB_BAD_VALSIZE, "as in lmdb.h");
_Static_assert(sizeof(struct lmdb_stat) == sizeof(MDB_stat), "as in lmdb.h");
_Static_assert(offsetof(struct lmdb_stat, entries) == offsetof(MDB_stat, ms_entries), "likewise");
_Static_assert(sizeof(struct lmdb_info) == sizeof(MDB_envinfo), "as in lmdb.h");
_Static_assert(offsetof(struct lmdb_info, map_size) == offsetof(MDB_envinfo, me_mapsize), "also");
_Static_assert(offsetof(struct lmdb_info, last_pgno) == offsetof(MDB_envinfo, me_last_pgno), "too");
_Static_assert(sizeof(struct kv_val) == sizeof(MDB_val), "as in lmdb.h");

/* ---- Sources ------------------------------------------------------------------------------- */

static MDB_env *env;
static MDB_txn *txn;

#define mdb_ok(call) ck_mdb(#call, (call))
static void ck_mdb(const char *call, int rc)
{
    if (rc)
        ck_abort_msg("%s: %s", call, mdb_strerror(rc));
}

static void source_open(const char *name, unsigned flags)
{
    if (!(flags & MDB_NOSUBDIR))
        (void)mkdir(tmp_path("%s", name), 0755);
    mdb_ok(mdb_env_create(&env));
    mdb_ok(mdb_env_set_mapsize(env, MAP_BYTES));
    mdb_ok(mdb_env_set_maxdbs(env, TABLES_MAX));
    mdb_ok(mdb_env_open(env, tmp_path("%s", name), flags | MDB_NOSYNC, 0644));
    mdb_ok(mdb_txn_begin(env, NULL, 0, &txn));
}

static void source_commit(void)
{
    mdb_ok(mdb_txn_commit(txn));
    txn = NULL;
}

static void source_close(void)
{
    if (txn)
        source_commit();
    mdb_env_close(env);
    env = NULL;
}

static MDB_dbi table(const char *name, unsigned flags)
{
    MDB_dbi dbi;
    mdb_ok(mdb_dbi_open(txn, name, flags | MDB_CREATE, &dbi));
    return dbi;
}

static void put(MDB_dbi dbi, const void *key, size_t key_size, const void *value, size_t value_size,
                unsigned flags)
{
    MDB_val k = {key_size, (void *)(uintptr_t)key};
    MDB_val v = {value_size, (void *)(uintptr_t)value};
    int rc = mdb_put(txn, dbi, &k, &v, flags);
    if (rc && rc != MDB_KEYEXIST) {
        unsigned f;
        mdb_dbi_flags(txn, dbi, &f);
        printf("DEBUG flags %x key %zu value %zu\n", f, key_size, value_size);
        mdb_ok(rc);
    }
}

static void put_text(MDB_dbi dbi, const char *key, const char *value)
{
    put(dbi, key, strlen(key), value, strlen(value), 0);
}

/* `count` random records of the sizes that a table of these flags takes. Every tenth key of one
 * with duplicates is the same, so that it has many; LMDB cannot always store an empty value then. */
static void fill(MDB_dbi dbi, unsigned flags, uint64_t count, struct rng *rng)
{
    bool dup = flags & MDB_DUPSORT;
    bool integer_value = dup && flags & MDB_INTEGERDUP;
    size_t fixed_key = rng_chance(rng, 50) ? 4 : 8;
    size_t fixed_value = integer_value ? (rng_chance(rng, 50) ? 4 : 8) : rng_between(rng, 1, 40);
    uint8_t key[512];
    uint8_t value[20000];
    for (uint64_t i = 0; i < count; i++) {
        size_t key_size = flags & MDB_INTEGERKEY ? fixed_key : rng_between(rng, 1, 512);
        size_t value_size = fixed_value;
        rng_bytes(rng, key, key_size);
        if (dup && rng_chance(rng, 10))
            memset(key, 7, key_size = flags & MDB_INTEGERKEY ? fixed_key : 9);
        if (!integer_value && !(dup && flags & MDB_DUPFIXED))
            value_size = dup ? rng_between(rng, 1, 512)
                             : rng_below(rng, rng_chance(rng, 5) ? sizeof value : 100);
        rng_bytes(rng, value, value_size);
        put(dbi, key, key_size, value, value_size, 0);
    }
}

/* ---- Comparison ---------------------------------------------------------------------------- */

static struct kv_env *db;
static struct kv_txn *reader;

static void db_open(const char *name)
{
    ck_ok(kv_env_open(tmp_path("%s", name), NULL, &db));
    ck_ok(kv_txn_begin(db, KV_READ, NULL, &reader));
}

static void db_close(void)
{
    kv_txn_abort(reader);
    ck_ok(kv_env_close(db));
}

static struct kv_table_options kind_of(const char *name)
{
    struct kv_table_options options;
    kv_table handle;
    ck_ok(kv_table_open(reader, name, 0, NULL, &handle));
    ck_ok(kv_table_options(reader, handle, &options));
    return options;
}

/* The kind is the one that LMDB's flags mean. */
static void compare_kind(const char *name, unsigned flags)
{
    struct kv_table_options options = kind_of(name);
    bool dup = flags & MDB_DUPSORT;
    enum kv_order key = flags & MDB_REVERSEKEY   ? KV_ORDER_REVERSE
                        : flags & MDB_INTEGERKEY ? KV_ORDER_UINT
                                                 : KV_ORDER_BYTES;
    enum kv_order value = !dup                     ? KV_ORDER_BYTES
                          : flags & MDB_INTEGERDUP ? KV_ORDER_UINT
                          : flags & MDB_REVERSEDUP ? KV_ORDER_REVERSE
                                                   : KV_ORDER_BYTES;
    bool fixed = dup && flags & (MDB_DUPFIXED | MDB_INTEGERDUP);
    ck_assert_int_eq(options.order, key);
    ck_assert_int_eq(options.value_order, value);
    ck_assert_int_eq(!!(options.flags & KV_DUPLICATES), dup);
    ck_assert_int_eq(!!(options.flags & KV_FIXED), fixed);
}

static bool same(const MDB_val *theirs, const struct kv_val *ours)
{
    return theirs->mv_size == ours->size && !memcmp(theirs->mv_data, ours->data, ours->size);
}

/* Reads both from start to end; returns the number of records. */
static uint64_t compare_records(const char *name, MDB_dbi dbi, kv_table handle)
{
    MDB_cursor *theirs;
    struct kv_cursor *ours;
    MDB_val mk, mv;
    struct kv_val k, v;
    uint64_t count = 0;
    mdb_ok(mdb_cursor_open(txn, dbi, &theirs));
    ck_ok(kv_cursor_open(reader, handle, &ours));
    while (!mdb_cursor_get(theirs, &mk, &mv, MDB_NEXT)) {
        ck_ok(kv_cursor_get(ours, KV_NEXT, &k, &v));
        if (!same(&mk, &k))
            ck_abort_msg("%s: key %llu differs", name ? name : "main", (unsigned long long)count);
        if (!same(&mv, &v) && !kv_cursor_is_table(ours))
            ck_abort_msg("%s: value %llu differs", name ? name : "main", (unsigned long long)count);
        count++;
    }
    ck_rc(kv_cursor_get(ours, KV_NEXT, &k, &v), KV_ENOTFOUND);
    mdb_cursor_close(theirs);
    kv_cursor_close(ours);
    return count;
}

/* One table of the source, whose read txn is open, and of the database. */
static uint64_t compare_table(const char *name)
{
    MDB_dbi dbi;
    kv_table handle;
    unsigned flags;
    uint64_t sequence;
    mdb_ok(mdb_dbi_open(txn, name, 0, &dbi));
    mdb_ok(mdb_dbi_flags(txn, dbi, &flags));
    ck_ok(kv_table_open(reader, name, 0, NULL, &handle));
    ck_ok(kv_sequence(reader, handle, 0, &sequence));
    ck_assert_uint_eq(sequence, flags);
    return compare_records(name, dbi, handle);
}

static void compare_start(const char *db_name)
{
    mdb_ok(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    db_open(db_name);
}

static void compare_end(void)
{
    mdb_txn_abort(txn);
    txn = NULL;
    db_close();
}

static void expect_nothing_left(const char *name)
{
    expect(0, "", "ls -d %s* 2>/dev/null || true", name);
}

/* ---- Tables of every kind ------------------------------------------------------------------- */

/* Number n of the combinations of LMDB's table flags, but for those with MDB_DUPFIXED and without
 * MDB_DUPSORT: LMDB loses the values of such tables. */
#define COMBINATIONS 48u
static unsigned combination(unsigned n)
{
    unsigned flags = 0;
    for (; n; n--) {
        do
            flags += MDB_REVERSEKEY;
        while ((flags & MDB_DUPFIXED) && !(flags & MDB_DUPSORT));
    }
    return flags;
}

START_TEST(named_tables_of_every_flag_are_as_before)
{
    struct rng rng;
    char name[32];
    rng_seed(&rng, "import", 11);
    source_open("src", 0);
    put_text(table(NULL, 0), "plain", "record");
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        snprintf(name, sizeof name, "table %u", n);
        fill(table(name, combination(n)), combination(n), scaled(400), &rng);
    }
    source_commit();
    expect(0, "", "$K import --quiet src a.kv && $K check a.kv >/dev/null");
    compare_start("a.kv");
    ck_assert_uint_eq(compare_table(NULL), COMBINATIONS + 1);
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        snprintf(name, sizeof name, "table %u", n);
        ck_assert_uint_gt(compare_table(name), 0);
        compare_kind(name, combination(n));
    }
    compare_end();
    source_close();
}
END_TEST

START_TEST(a_main_table_of_every_flag_is_as_before)
{
    struct rng rng;
    unsigned flags = combination((unsigned)_i);
    rng_init(&rng, (uint64_t)_i + 1);
    source_open("src", MDB_NOSUBDIR);
    fill(table(NULL, flags), flags, scaled(600), &rng);
    source_commit();
    expect(0, "", "$K import --quiet src a.kv && $K check a.kv >/dev/null");
    compare_start("a.kv");
    ck_assert_uint_gt(compare_table(NULL), 0);
    compare_kind(NULL, flags);
    compare_end();
    source_close();
}
END_TEST

START_TEST(keys_and_values_of_every_size_are_as_before)
{
    static const size_t sizes[] = {0, 1, 47, 48, 49, 2000, 4096, 70000, LONG_VALUE_BYTES};
    uint8_t *bytes = malloc(LONG_VALUE_BYTES);
    struct rng rng;
    rng_init(&rng, 3);
    rng_bytes(&rng, bytes, LONG_VALUE_BYTES);
    source_open("src", 0);
    MDB_dbi dbi = table(NULL, 0);
    for (size_t key_size = 1; key_size <= 511; key_size++)
        put(dbi, bytes, key_size, bytes, sizes[key_size % (sizeof sizes / sizeof sizes[0] - 1)], 0);
    put(dbi, "long", 4, bytes, LONG_VALUE_BYTES, 0);
    table("empty", MDB_DUPSORT | MDB_REVERSEKEY);
    put(table("dup", MDB_DUPSORT), "key", 3, "", 0, 0);
    source_commit();
    expect(0, "", "$K import --quiet src a.kv");
    compare_start("a.kv");
    ck_assert_uint_eq(compare_table(NULL), 514);
    ck_assert_uint_eq(compare_table("dup"), 1);
    ck_assert_uint_eq(compare_table("empty"), 0);
    compare_kind("empty", MDB_DUPSORT | MDB_REVERSEKEY);
    compare_end();
    source_close();
    free(bytes);
}
END_TEST

START_TEST(thousands_of_values_of_a_key_are_as_before)
{
    source_open("src", 0);
    MDB_dbi plain = table("plain", MDB_DUPSORT);
    MDB_dbi fixed = table("fixed", MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t number = i * 7919 % 20011;
        put(plain, "key", 3, &number, sizeof number, 0);
        put(fixed, "key", 3, &number, sizeof number, 0);
    }
    source_commit();
    expect(0, "", "$K import --quiet src a.kv && $K check a.kv >/dev/null");
    compare_start("a.kv");
    ck_assert_uint_eq(compare_table("plain"), 20000);
    ck_assert_uint_eq(compare_table("fixed"), 20000);
    compare_end();
    source_close();
}
END_TEST

/* ---- Orders that only the records tell ------------------------------------------------------- */

static int descending(const MDB_val *a, const MDB_val *b)
{
    size_t size = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int order = memcmp(b->mv_data, a->mv_data, size);
    return order ? order : (int)b->mv_size - (int)a->mv_size;
}

static void fill_descending(const char *name, unsigned flags, bool keys, bool values)
{
    struct rng rng;
    MDB_dbi dbi = table(name, flags);
    rng_init(&rng, 5);
    if (keys)
        mdb_ok(mdb_set_compare(txn, dbi, descending));
    if (values)
        mdb_ok(mdb_set_dupsort(txn, dbi, descending));
    fill(dbi, flags, scaled(1000), &rng);
}

START_TEST(tables_in_an_order_of_the_programs_own_keep_it)
{
    source_open("src", 0);
    fill_descending("keys", 0, true, false);
    fill_descending("pairs", MDB_DUPSORT, true, true);
    fill_descending("values", MDB_DUPSORT | MDB_DUPFIXED, false, true);
    source_commit();
    expect(0, "", "$K import src a.kv && $K check a.kv >/dev/null");
    err_has("table keys: not in an order of LMDB's own");
    compare_start("a.kv");
    ck_assert_uint_gt(compare_table("keys"), 0);
    ck_assert_uint_gt(compare_table("pairs"), 0);
    ck_assert_uint_gt(compare_table("values"), 0);
    ck_assert_int_eq(kind_of("keys").order, KV_ORDER_CUSTOM);
    ck_assert_int_eq(kind_of("pairs").value_order, KV_ORDER_CUSTOM);
    ck_assert_int_eq(kind_of("values").order, KV_ORDER_BYTES);
    ck_assert_int_eq(kind_of("values").value_order, KV_ORDER_CUSTOM);
    ck_assert_str_eq(kind_of("keys").comparator, "lmdb:k:581987d75cbd3e2d");
    compare_end();
    source_close();
}
END_TEST

START_TEST(a_main_table_may_be_in_an_order_of_its_own)
{
    source_open("src", 0);
    fill_descending(NULL, 0, true, false);
    source_commit();
    expect(0, "", "$K import --quiet src a.kv");
    compare_start("a.kv");
    ck_assert_uint_gt(compare_table(NULL), 0);
    compare_end();
    source_close();
}
END_TEST

START_TEST(named_tables_beside_such_a_main_table_are_refused)
{
    source_open("src", 0);
    mdb_ok(mdb_set_compare(txn, table(NULL, 0), descending));
    for (char name[] = "a"; *name < 'h'; ++*name)
        put_text(table(name, 0), "key", "value");
    source_commit();
    source_close();
    expect(4, "", "$K import src a.kv");
    err_has("main table: its keys are in an order of the program's own");
    expect_nothing_left("a.kv");
}
END_TEST

START_TEST(integer_keys_of_odd_sizes_keep_lmdbs_order)
{
    source_open("src", 0);
    MDB_dbi odd = table("odd", MDB_INTEGERKEY);
    MDB_dbi values = table("values", MDB_DUPSORT | MDB_INTEGERDUP);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t number = i * 7919 % 1009;
        put(odd, &number, 6, &i, sizeof i, 0);
        put(values, "key", 3, &number, 2, 0);
    }
    source_commit();
    expect(0, "", "$K import --quiet src a.kv && $K check a.kv >/dev/null");
    compare_start("a.kv");
    ck_assert_uint_eq(compare_table("odd"), 1000);
    ck_assert_uint_eq(compare_table("values"), 1000);
    ck_assert_int_eq(kind_of("odd").order, KV_ORDER_CUSTOM);
    compare_end();
    source_close();
}
END_TEST

/* ---- Tables that cannot be imported ----------------------------------------------------------- */

START_TEST(a_table_of_which_lmdb_lost_the_values_is_refused)
{
    source_open("src", 0);
    table("empty", MDB_DUPFIXED);
    source_commit();
    expect(0, NULL, "$K import src a.kv");
    mdb_ok(mdb_txn_begin(env, NULL, 0, &txn));
    put_text(table("lost", MDB_DUPFIXED), "key", "value");
    source_close();
    expect(4, "", "$K import src b.kv");
    err_has("table lost: it has MDB_DUPFIXED without MDB_DUPSORT");
}
END_TEST

/* Two keys of one value each, which LMDB does not compare with each other. */
static void make_unequal_sizes(void)
{
    source_open("src", 0);
    MDB_dbi dbi = table("unequal", MDB_DUPSORT | MDB_DUPFIXED);
    put_text(dbi, "a", "four");
    put_text(dbi, "b", "seventy");
    put_text(table("good", 0), "key", "value");
    source_commit();
    source_close();
}

START_TEST(a_table_that_cannot_be_imported_is_named)
{
    make_unequal_sizes();
    expect(4, "", "$K import src a.kv");
    err_has("table unequal: it says that its values have one size, but one of 7 bytes");
    expect_nothing_left("a.kv");
}
END_TEST

START_TEST(a_table_that_cannot_be_imported_may_be_skipped)
{
    make_unequal_sizes();
    expect(0, "", "$K import --skip-bad src a.kv");
    err_has("1 records imported");
    err_has("1 tables skipped");
    expect(0, "good\t1\n", "$K tables a.kv");
    expect(0, NULL, "$K check a.kv");
}
END_TEST

/* ---- Sources and targets --------------------------------------------------------------------- */

static void make_small(const char *name, unsigned flags)
{
    source_open(name, flags);
    put_text(table(NULL, 0), "key", "value");
    put_text(table("t", MDB_DUPSORT), "k", "v");
    source_close();
}

START_TEST(a_source_is_a_folder_or_a_file)
{
    make_small("folder", 0);
    make_small("file", MDB_NOSUBDIR);
    expect(0, "key\tvalue\n", "$K import -q folder a.kv && $K scan a.kv");
    expect(0, "key\tvalue\n", "$K import -q file b.kv && $K scan b.kv");
    expect(0, "key\tvalue\n", "$K import -q folder/data.mdb c.kv && $K scan c.kv");
    expect(0, "key\tvalue\n", "cd folder && $K import -q data.mdb ../d.kv && $K scan ../d.kv");
    expect(0, "data.mdb\nlock.mdb\n", "ls folder");
    expect(0, "key\tvalue\n",
           "rm folder/lock.mdb file-lock;"
           " $K import -q --no-lock folder e.kv && $K scan e.kv");
    expect(0, "data.mdb\n", "ls folder");
}
END_TEST

START_TEST(the_lock_file_of_a_folders_database_is_the_drop_ins)
{
    make_small("src", 0);
    expect(0, "key\tvalue\n", "mkdir new && $K import -q src new/data.mdb && $K scan new/data.mdb");
    expect(0, "data.mdb\nlock.mdb\n", "cd new && $K put data.mdb k v && ls");
}
END_TEST

START_TEST(the_source_is_not_changed)
{
    make_small("src", 0);
    expect(0, "", "cp src/data.mdb before && $K import -q src a.kv && cmp src/data.mdb before");
}
END_TEST

START_TEST(what_others_have_not_committed_is_not_seen)
{
    source_open("src", 0);
    put_text(table(NULL, 0), "old", "1");
    source_commit();
    mdb_ok(mdb_txn_begin(env, NULL, 0, &txn));
    put_text(1, "new", "2");
    expect(0, "old\t1\n", "$K import -q src a.kv && $K scan a.kv");
    source_close();
}
END_TEST

/* Without the capabilities by which root may write everywhere. */
#define AS_ANYONE                                                                                  \
    "if [ \"$(id -u)\" = 0 ]; then p='setpriv --bounding-set=-all --inh-caps=-all'; else p=; fi; "

START_TEST(a_folder_that_may_not_be_written_is_read_without_locks)
{
    make_small("src", 0);
    expect(0, NULL, "rm src/lock.mdb; chmod 444 src/data.mdb; chmod 555 src");
    expect(0, "key\tvalue\n", AS_ANYONE "$p $K import src a.kv && $K scan a.kv");
    err_has("reading without it");
    expect(0, "data.mdb\n", "ls src; chmod 755 src");
}
END_TEST

START_TEST(a_target_that_exists_is_left_alone)
{
    make_small("src", 0);
    expect(4, "mine\n", "echo mine >a.kv; $K import src a.kv || { s=$?; cat a.kv; exit $s; }");
    err_has("a.kv: File exists");
    expect(4, "", "ln -s nowhere b.kv; $K import src b.kv");
    expect(4, "", "$K import src missing/c.kv");
    expect(0, "a.kv\nb.kv\n", "ls -d *.kv*");
}
END_TEST

START_TEST(the_new_file_has_the_bits_of_the_old_one)
{
    make_small("src", 0);
    expect(0, "600\n", "chmod 600 src/data.mdb; $K import -q src a.kv && stat -c %%a a.kv");
}
END_TEST

static uint64_t limit_of(const char *name)
{
    uint64_t limit;
    db_open(name);
    ck_ok(kv_limit_get(reader, &limit));
    db_close();
    return limit;
}

START_TEST(the_map_size_stays_the_limit_if_that_is_asked_for)
{
    make_small("src", 0);
    expect(0, "", "$K import -q src a.kv && $K import -q --map-size src b.kv");
    ck_assert_uint_eq(limit_of("a.kv"), 0);
    ck_assert_uint_eq(limit_of("b.kv"), MAP_BYTES);
}
END_TEST

START_TEST(what_is_no_lmdb_database_is_refused)
{
    expect(3, "", "$K import missing a.kv");
    err_has("cannot open missing: No such file or directory");
    expect(3, "", "mkdir empty; $K import empty a.kv");
    err_has("empty/data.mdb");
    expect(3, "", "head -c 100000 /dev/urandom >junk; $K import junk a.kv");
    err_has("MDB_INVALID");
    expect(3, "", "printf abc >short; $K import short a.kv");
    expect(3, "", "$K put ours.kv k v; $K import ours.kv a.kv");
    err_has("MDB_INVALID");
    expect_nothing_left("a.kv");
}
END_TEST

/* ---- The library ----------------------------------------------------------------------------- */

static const char *genuine_library(void)
{
    Dl_info info;
    ck_assert(dladdr((void *)(uintptr_t)mdb_version, &info));
    return info.dli_fname;
}

START_TEST(a_library_that_is_none_is_named)
{
    make_small("src", 0);
    expect(4, "", "$K import --library ./missing.so src a.kv");
    err_has("cannot load the LMDB library: ./missing.so");
    expect(4, "", "$K import --library libm.so.6 src a.kv");
    err_has("libm.so.6 is no LMDB library: it lacks mdb_");
    expect(0, "", "cp %s ./copy.so && $K import -q --library ./copy.so src a.kv",
           genuine_library());
    expect_nothing_left("b.kv");
}
END_TEST

START_TEST(the_drop_in_is_not_taken_for_lmdb)
{
    make_small("src", 0);
    expect(4, "",
           "mkdir lib; cp %s lib/liblmdb.so.0; printf 'libkv drop-in for LMDB' >>lib/liblmdb.so.0;"
           " LD_LIBRARY_PATH=$PWD/lib $K import src a.kv",
           genuine_library());
    err_has("lib/liblmdb.so.0 is libkv's own stand-in for LMDB");
    expect(0, "", "LD_LIBRARY_PATH=$PWD/lib $K import -q --library %s src a.kv", genuine_library());
}
END_TEST

/* ---- Ends --------------------------------------------------------------------------------- */

static void make_large(void)
{
    struct rng rng;
    rng_init(&rng, 9);
    source_open("src", 0);
    fill(table("t", 0), 0, 20000, &rng);
    source_close();
}

START_TEST(a_full_disk_leaves_nothing_behind)
{
    make_large();
    expect(4, "", "trap '' XFSZ; ulimit -f 2000; $K import src a.kv");
    expect_nothing_left("a.kv");
    expect(4, "", "$K import --max-size 1M src a.kv");
    err_has("t");
    expect_nothing_left("a.kv");
}
END_TEST

START_TEST(a_signal_leaves_all_or_nothing)
{
    make_large();
    for (int i = 1; i <= 8; i++)
        expect(0, "",
               "rm -f a.kv*; timeout -s TERM 0.0%d $K import -q src a.kv; "
               "[ -e a.kv ] && $K check a.kv >/dev/null; ls -d a.kv.* 2>/dev/null || true",
               i);
}
END_TEST

START_TEST(a_source_that_was_cut_short_is_told_and_leaves_nothing_behind)
{
    make_large();
    expect(3, "", "truncate -s 100K src/data.mdb; $K import src a.kv");
    err_has("cut short");
    expect_nothing_left("a.kv");
}
END_TEST

/* ---- Output ------------------------------------------------------------------------------- */

START_TEST(an_import_tells_what_it_did)
{
    make_small("src", 0);
    expect(0, "", "$K import src a.kv");
    err_has("2 records imported in the main table and 1 named ones, 0 tables skipped");
    expect(0, "", "$K import --quiet src b.kv");
    ck_assert_str_eq(shell_err, "");
    expect(0, NULL, "$K import --json src c.kv");
    out_has("{\"tables\":[{\"name\":null,\"records\":1,\"kind\":\"plain\",\"lmdb_flags\":0,"
            "\"skipped\":false},{\"name\":\"t\",\"records\":1,\"kind\":\"duplicates\","
            "\"lmdb_flags\":4,\"skipped\":false}],\"records\":2,\"skipped\":0,\"bytes\":");
    expect(2, "", "$K import src");
    expect(2, "", "$K import --table t src d.kv");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kvctl_import");
    shell_add(s, "flags", named_tables_of_every_flag_are_as_before);
    shell_add_loop(s, "main flags", a_main_table_of_every_flag_is_as_before, COMBINATIONS);
    shell_add(s, "sizes", keys_and_values_of_every_size_are_as_before);
    shell_add(s, "sizes", thousands_of_values_of_a_key_are_as_before);
    shell_add(s, "orders", tables_in_an_order_of_the_programs_own_keep_it);
    shell_add(s, "orders", a_main_table_may_be_in_an_order_of_its_own);
    shell_add(s, "orders", named_tables_beside_such_a_main_table_are_refused);
    shell_add(s, "orders", integer_keys_of_odd_sizes_keep_lmdbs_order);
    shell_add(s, "refused", a_table_of_which_lmdb_lost_the_values_is_refused);
    shell_add(s, "refused", a_table_that_cannot_be_imported_is_named);
    shell_add(s, "refused", a_table_that_cannot_be_imported_may_be_skipped);
    shell_add(s, "source", a_source_is_a_folder_or_a_file);
    shell_add(s, "source", the_lock_file_of_a_folders_database_is_the_drop_ins);
    shell_add(s, "source", the_source_is_not_changed);
    shell_add(s, "source", what_others_have_not_committed_is_not_seen);
    shell_add(s, "source", a_folder_that_may_not_be_written_is_read_without_locks);
    shell_add(s, "source", what_is_no_lmdb_database_is_refused);
    shell_add(s, "target", a_target_that_exists_is_left_alone);
    shell_add(s, "target", the_new_file_has_the_bits_of_the_old_one);
    shell_add(s, "target", the_map_size_stays_the_limit_if_that_is_asked_for);
    shell_add(s, "library", a_library_that_is_none_is_named);
    shell_add(s, "library", the_drop_in_is_not_taken_for_lmdb);
    shell_add(s, "ends", a_full_disk_leaves_nothing_behind);
    shell_add(s, "ends", a_signal_leaves_all_or_nothing);
    shell_add(s, "ends", a_source_that_was_cut_short_is_told_and_leaves_nothing_behind);
    shell_add(s, "output", an_import_tells_what_it_did);
    return s;
}

HARNESS_MAIN(suite)
