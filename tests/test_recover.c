/* SPDX-License-Identifier: MIT */
/*
 * Making databases, telling what a file is, and choosing between two meta slots. The walk has a
 * suite of its own (test_recover_walk), what happens while processes live is in test_durable.
 */
#include "recover_db.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "fault_os.h"
#include "harness.h"
#include "txn/durable.h"
#include "txn/recover.h"

enum { SMALL = 100 };

static const char *path;

static void start(void)
{
    tmp_clear();
    fault_install();
    path = tmp_path("a.db");
}

static void stop(void)
{
    fault_remove();
}

static int create(uint32_t page_size)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, page_size));
    return kvi_create_file(path, &g, &(struct kvi_create_first){0, NULL}, 0644);
}

static int peek(void)
{
    uint8_t id[16];
    uint32_t page_size;
    int fd = open(path, O_RDONLY);
    int rc;

    ck_assert_int_ge(fd, 0);
    rc = kvi_recover_peek(fd, path, &page_size, id);
    close(fd);
    return rc;
}

/* Names in the folder. */
static unsigned names(void)
{
    unsigned count = 0;
    DIR *folder = opendir(tmp_dir());
    struct dirent *entry;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* ---- Making a database ---- */

START_TEST(a_new_database_is_one_sealed_snapshot_in_both_slots)
{
    static const uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    struct db_image image;
    struct kvi_meta meta;

    ck_ok(create(sizes[_i]));
    image = db_load(path);
    ck_assert_mem_eq(image.data, image.data + KVI_META_SLOT_1_OFFSET, KVI_META_BYTES);
    ck_assert_int_eq(db_meta(&image, 0, &meta), KVI_META_OK);
    ck_assert_uint_eq(meta.txnid, 1);
    ck_assert_uint_eq(meta.base, 1);
    ck_assert_uint_eq(meta.page_size, sizes[_i]);
    ck_assert_uint_eq(image.size_bytes, meta.page_end * sizes[_i]);
    db_release(&image);
    ck_ok(peek());
    ck_assert_uint_eq(names(), 1);
}
END_TEST

START_TEST(a_new_database_opens_checks_and_counts_on_from_txnid_1)
{
    struct kv_env *env = db_open(path, KV_CREATE);

    ck_assert_uint_eq(db_txnid(env), 1);
    db_check(env);
    db_put(env, 1, 1, SMALL);
    ck_assert_uint_eq(db_txnid(env), 2);
    db_check(env);
    db_close(env);
}
END_TEST

START_TEST(creating_over_a_name_changes_nothing)
{
    file_write(path, "hello", 5);
    ck_rc(create(4096), EEXIST);
    ck_assert_uint_eq(file_size(path), 5);
    ck_assert_uint_eq(names(), 1);
}
END_TEST

START_TEST(two_databases_have_two_ids)
{
    struct db_image a;
    struct db_image b;

    ck_ok(create(4096));
    a = db_load(path);
    ck_assert_int_eq(unlink(path), 0);
    ck_ok(create(4096));
    b = db_load(path);
    ck_assert(memcmp(a.data + 16, b.data + 16, 16) != 0);
    db_release(&a);
    db_release(&b);
}
END_TEST

START_TEST(creation_that_fails_leaves_nothing_behind)
{
    uint64_t nth = 1;

    for (;; nth++) {
        int rc;

        fault_arm(FAULT_ANY, nth, EIO);
        rc = create(4096);
        fault_disarm();
        if (!fault_fired())
            break;
        /* After the link the database stands, and only the folder's flush can fail. */
        if (rc && file_exists(path))
            ck_ok(peek());
        else if (rc)
            ck_assert_uint_eq(names(), 0);
        else
            ck_ok(peek());
        tmp_clear();
    }
    ck_assert_uint_gt(nth, 8);
    ck_ok(peek());
}
END_TEST

START_TEST(where_there_are_no_nameless_files_a_temporary_name_is_used_and_removed)
{
    static const int errors[] = {EOPNOTSUPP, EISDIR, EINVAL};

    fault_arm(FAULT_OPEN, 1, errors[_i]);
    ck_ok(create(4096));
    ck_assert(fault_fired());
    ck_ok(peek());
    ck_assert_uint_eq(names(), 1);
    ck_rc(create(4096), EEXIST);
}
END_TEST

START_TEST(where_linking_by_descriptor_fails_a_temporary_name_is_used)
{
    fault_arm(FAULT_LINK_FD, 1, ENOENT);
    ck_ok(create(4096));
    ck_assert(fault_fired());
    ck_ok(peek());
    ck_assert_uint_eq(names(), 1);
}
END_TEST

/* What a power cut right after creation leaves: the name, and behind it a whole database. */
START_TEST(a_new_database_survives_a_power_cut_once_it_was_created)
{
    struct record_image image = {0};
    bool durable = false;
    int file;

    fault_record(true);
    if (_i == 1)
        fault_arm(FAULT_LINK_FD, 1, ENOENT); /* by a temporary name */
    ck_ok(create(4096));
    ck_assert_int_eq(fault_fired(), _i == 1);
    fault_record(false);
    file = recorder_file_at(recorder_count(), path, &durable);
    ck_assert_int_ge(file, 0);
    ck_assert(durable);
    ck_assert_uint_eq(recorder_state(recorder_count(), file, record_keep_none, NULL, &image), 0);
    record_image_write(&image, path);
    record_image_release(&image);
    recorder_reset();
    ck_ok(peek());
}
END_TEST

START_TEST(a_missing_folder_is_told)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_rc(kvi_create_file(tmp_path("none/a.db"), &g, &(struct kvi_create_first){0, NULL}, 0644),
          ENOENT);
}
END_TEST

/* ---- What a file is ---- */

START_TEST(an_empty_file_is_no_database)
{
    file_write(path, "", 0);
    ck_rc(peek(), KV_ENOTDB);
}
END_TEST

START_TEST(other_bytes_are_no_database)
{
    static const size_t sizes[] = {1, 511, 512, 4096, 65536, 65537, 66048, 200000};
    uint8_t *bytes = malloc(200000);
    struct rng rng;

    rng_seed(&rng, "junk", 7);
    rng_bytes(&rng, bytes, 200000);
    file_write(path, bytes, sizes[_i]);
    ck_rc(peek(), KV_ENOTDB);
    memset(bytes, 0, 200000);
    file_write(path, bytes, sizes[_i]);
    ck_rc(peek(), KV_ENOTDB);
    free(bytes);
}
END_TEST

START_TEST(a_database_cut_short_is_damage)
{
    static const size_t sizes[] = {100, 512, 4096, 65535, 65536, 66047};
    struct db_image image;

    ck_ok(create(4096));
    image = db_load(path);
    image.size_bytes = sizes[_i];
    db_store(path, &image);
    db_release(&image);
    ck_rc(peek(), KV_ECORRUPT);
}
END_TEST

START_TEST(a_later_format_in_either_slot_is_refused)
{
    struct db_image image;
    uint8_t *slot;
    struct kvi_meta meta;

    ck_ok(create(4096));
    image = db_load(path);
    slot = image.data + (_i ? KVI_META_SLOT_1_OFFSET : 0);
    slot[8]++;
    kvi_le_store64(slot + 504, kvi_checksum(slot, 504));
    ck_assert_int_eq(db_meta(&image, (unsigned)_i, &meta), KVI_META_VERSION);
    db_store(path, &image);
    ck_rc(peek(), KV_EVERSION);
    db_tear_meta(&image, 1u - (unsigned)_i);
    db_store(path, &image);
    ck_rc(peek(), KV_EVERSION);
    db_release(&image);
}
END_TEST

START_TEST(one_torn_slot_is_survived_and_two_are_damage)
{
    struct db_image image;

    ck_ok(create(4096));
    image = db_load(path);
    db_tear_meta(&image, (unsigned)_i);
    db_store(path, &image);
    ck_ok(peek());
    memset(image.data + (_i ? KVI_META_SLOT_1_OFFSET : 0), 0, KVI_META_BYTES);
    db_store(path, &image);
    ck_ok(peek());
    db_tear_meta(&image, 1u - (unsigned)_i);
    db_store(path, &image);
    ck_rc(peek(), KV_ECORRUPT);
    db_release(&image);
}
END_TEST

START_TEST(slots_of_two_databases_are_damage)
{
    struct db_image image;
    struct kvi_meta meta;

    ck_ok(create(4096));
    image = db_load(path);
    ck_assert_int_eq(db_meta(&image, 1, &meta), KVI_META_OK);
    meta.file_id[3] ^= 1;
    db_set_meta(&image, 1, &meta);
    db_store(path, &image);
    db_release(&image);
    ck_rc(peek(), KV_ECORRUPT);
}
END_TEST

START_TEST(a_read_error_in_a_slot_is_an_error)
{
    ck_ok(create(4096));
    fault_arm(FAULT_READ, (uint64_t)_i + 1, EIO);
    ck_rc(peek(), EIO);
    ck_assert(fault_fired());
}
END_TEST

/* ---- Choosing ---- */

struct slot_plan {
    enum kvi_meta_state state;
    uint64_t txnid;
    uint64_t base;
};

struct choice_plan {
    struct slot_plan slots[2];
    int rc;
    unsigned slot;
    bool walk;
};

static const struct choice_plan choices[] = {
    /* sealed newest */
    {{{KVI_META_OK, 5, 5}, {KVI_META_OK, 4, 4}}, 0, 0, false},
    {{{KVI_META_OK, 4, 4}, {KVI_META_OK, 5, 5}}, 0, 1, false},
    {{{KVI_META_OK, 4, 3}, {KVI_META_OK, 5, 0}}, 0, 1, false},
    /* unsealed over the other */
    {{{KVI_META_OK, 5, 4}, {KVI_META_OK, 4, 4}}, 0, 0, true},
    {{{KVI_META_OK, 4, 3}, {KVI_META_OK, 5, 4}}, 0, 1, true},
    {{{KVI_META_OK, 9, 4}, {KVI_META_OK, 4, 0}}, 0, 0, true},
    /* the other does not hold the base: it had become durable */
    {{{KVI_META_OK, 9, 4}, {KVI_META_OK, 5, 3}}, 0, 0, false},
    {{{KVI_META_OK, 9, 4}, {KVI_META_TORN, 0, 0}}, 0, 0, false},
    {{{KVI_META_FOREIGN, 0, 0}, {KVI_META_OK, 9, 4}}, 0, 1, false},
    /* the same in both */
    {{{KVI_META_OK, 5, 4}, {KVI_META_OK, 5, 5}}, 0, 0, false},
    {{{KVI_META_OK, 5, 5}, {KVI_META_OK, 5, 0}}, 0, 0, false},
    {{{KVI_META_OK, 1, 1}, {KVI_META_OK, 1, 1}}, 0, 0, false},
};

static struct kvi_slots slots_of(const struct choice_plan *plan)
{
    struct kvi_slots slots = {.state = {plan->slots[0].state, plan->slots[1].state}};

    for (unsigned i = 0; i < 2; i++) {
        slots.meta[i].txnid = plan->slots[i].txnid;
        slots.meta[i].base = plan->slots[i].base;
        slots.meta[i].snap = (struct kvi_ref){plan->slots[i].txnid + 20, 77};
    }
    return slots;
}

START_TEST(slots_are_chosen_by_age_seal_and_base)
{
    struct kvi_slots slots = slots_of(&choices[_i]);
    struct kvi_slots_choice choice;

    ck_rc(kvi_slots_choose(&slots, "x", &choice), choices[_i].rc);
    ck_assert_uint_eq(choice.slot, choices[_i].slot);
    ck_assert(choice.walk == choices[_i].walk);
}
END_TEST

START_TEST(two_snapshots_with_one_txnid_are_damage)
{
    struct kvi_slots slots = slots_of(&choices[11]);
    struct kvi_slots_choice choice;

    slots.meta[1].snap.tag++;
    ck_rc(kvi_slots_choose(&slots, "x", &choice), KV_ECORRUPT);
    slots.meta[1].snap.tag--;
    slots.meta[1].snap.pgno++;
    ck_rc(kvi_slots_choose(&slots, "x", &choice), KV_ECORRUPT);
}
END_TEST

START_TEST(only_a_close_leaves_clean_slots)
{
    struct kvi_slots closed = slots_of(&choices[9]);
    struct kvi_slots recovered = slots_of(&choices[10]);
    struct kvi_slots running = slots_of(&choices[3]);

    ck_assert(kvi_slots_clean(&closed));
    ck_assert(!kvi_slots_clean(&recovered));
    ck_assert(!kvi_slots_clean(&running));
    closed.state[1] = KVI_META_TORN;
    ck_assert(!kvi_slots_clean(&closed));
}
END_TEST

START_TEST(a_new_generation_keeps_the_count_and_ends_at_the_last_one)
{
    ck_assert_uint_eq(kvi_txnid_raise(7), ((uint64_t)1 << 48) + 7);
    ck_assert_uint_eq(kvi_txnid_raise(((uint64_t)0xFFFE << 48) + 9), ((uint64_t)0xFFFF << 48) + 9);
    ck_assert_uint_eq(kvi_txnid_raise(((uint64_t)0xFFFF << 48) + 9), ((uint64_t)0xFFFF << 48) + 9);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("recover");

    harness_add_fixture(s, "create", a_new_database_opens_checks_and_counts_on_from_txnid_1, start,
                        stop);
    harness_add_loop(s, "create", a_new_database_is_one_sealed_snapshot_in_both_slots, 0, 5);
    harness_add(s, "create", creating_over_a_name_changes_nothing);
    harness_add(s, "create", two_databases_have_two_ids);
    harness_add(s, "create", creation_that_fails_leaves_nothing_behind);
    harness_add_loop(s, "create",
                     where_there_are_no_nameless_files_a_temporary_name_is_used_and_removed, 0, 3);
    harness_add(s, "create", where_linking_by_descriptor_fails_a_temporary_name_is_used);
    harness_add_loop(s, "create", a_new_database_survives_a_power_cut_once_it_was_created, 0, 2);
    harness_add(s, "create", a_missing_folder_is_told);
    harness_add_fixture(s, "peek", an_empty_file_is_no_database, start, stop);
    harness_add_loop(s, "peek", other_bytes_are_no_database, 0, 8);
    harness_add_loop(s, "peek", a_database_cut_short_is_damage, 0, 6);
    harness_add_loop(s, "peek", a_later_format_in_either_slot_is_refused, 0, 2);
    harness_add_loop(s, "peek", one_torn_slot_is_survived_and_two_are_damage, 0, 2);
    harness_add(s, "peek", slots_of_two_databases_are_damage);
    harness_add_loop(s, "peek", a_read_error_in_a_slot_is_an_error, 0, 2);
    harness_add_loop(s, "choose", slots_are_chosen_by_age_seal_and_base, 0,
                     (int)(sizeof(choices) / sizeof(choices[0])));
    harness_add(s, "choose", two_snapshots_with_one_txnid_are_damage);
    harness_add(s, "choose", only_a_close_leaves_clean_slots);
    harness_add(s, "choose", a_new_generation_keeps_the_count_and_ends_at_the_last_one);
    return s;
}

HARNESS_MAIN(suite)
