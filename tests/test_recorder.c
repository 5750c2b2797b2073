/* SPDX-License-Identifier: MIT */
/*
 * tests/fault_os and tests/recorder: the crash and fault suites are worth what these are.
 */
#include "fault_os.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct record_image image;

static void start(void)
{
    tmp_clear();
    fault_install();
    fault_record(true);
}

static void stop(void)
{
    fault_remove();
    record_image_release(&image);
}

static int open_file(const char *name)
{
    int fd = -1;

    ck_ok(kvi_os->open(tmp_path("%s", name), O_RDWR | O_CREAT, 0600, &fd));
    return fd;
}

static void write_byte(int fd, char byte, size_t size, uint64_t offset)
{
    char *data = malloc(size);

    ck_assert_ptr_nonnull(data);
    memset(data, byte, size);
    ck_ok(kvi_os->write_at(fd, data, size, offset));
    free(data);
}

static void expect_bytes(uint64_t offset, char byte, size_t size)
{
    ck_assert_uint_ge(image.size_bytes, offset + size);
    for (size_t i = 0; i < size; i++) {
        ck_assert_msg(image.data[offset + i] == (uint8_t)byte, "byte %zu is %d, not %d",
                      (size_t)offset + i, image.data[offset + i], byte);
    }
}

/* ---- States
 * ---------------------------------------------------------------------------------------- */

START_TEST(what_was_flushed_is_there_and_the_rest_is_a_choice)
{
    int fd = open_file("a");

    write_byte(fd, 'a', 4096, 0);
    ck_ok(kvi_os->flush(fd));
    write_byte(fd, 'b', 4096, 0);
    write_byte(fd, 'c', 4096, 4096);
    ck_assert_uint_eq(recorder_count(), 4);
    ck_assert_uint_eq(recorder_state(4, 0, record_keep_none, NULL, &image), 2);
    ck_assert_uint_eq(image.size_bytes, 4096);
    expect_bytes(0, 'a', 4096);
    ck_assert_uint_eq(recorder_state(4, 0, record_keep_all, NULL, &image), 2);
    ck_assert_uint_eq(image.size_bytes, 8192);
    expect_bytes(0, 'b', 4096);
    expect_bytes(4096, 'c', 4096);
    ck_assert_uint_eq(recorder_state(4, 0, record_by_bits, &(struct record_subset){2}, &image), 2);
    expect_bytes(0, 'a', 4096);
    expect_bytes(4096, 'c', 4096);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(earlier_states_can_be_asked_for_after_later_ones)
{
    int fd = open_file("a");

    write_byte(fd, 'a', 4096, 0);
    ck_ok(kvi_os->flush(fd));
    write_byte(fd, 'b', 4096, 0);
    ck_ok(kvi_os->flush(fd));
    ck_assert_uint_eq(recorder_state(4, 0, record_keep_none, NULL, &image), 0);
    expect_bytes(0, 'b', 4096);
    ck_assert_uint_eq(recorder_state(3, 0, record_keep_none, NULL, &image), 1);
    expect_bytes(0, 'a', 4096);
    ck_assert_uint_eq(recorder_state(1, 0, record_keep_none, NULL, &image), 1);
    ck_assert_uint_eq(image.size_bytes, 0);
    ck_assert_uint_eq(recorder_state(0, 0, record_keep_all, NULL, &image), 0);
    ck_assert_uint_eq(image.size_bytes, 0);
    ck_assert_uint_eq(recorder_state(4, 0, record_keep_none, NULL, &image), 0);
    expect_bytes(0, 'b', 4096);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(a_write_falls_into_pages_and_sectors)
{
    int fd = open_file("a");
    struct record_piece pieces[4];
    struct record_one one = {1, 1u << 0 | 1u << 7};

    write_byte(fd, 'x', 10000, 3000);
    ck_assert_uint_eq(recorder_pieces(1, 0, pieces, 4), 4);
    ck_assert_uint_eq(pieces[0].offset, 3000);
    ck_assert_uint_eq(pieces[0].size_bytes, 1096);
    ck_assert_uint_eq(pieces[1].offset, 4096);
    ck_assert_uint_eq(pieces[1].size_bytes, 4096);
    ck_assert_uint_eq(pieces[3].size_bytes, 13000 - 12288);
    recorder_state(1, 0, record_none_but_one, &one, &image);
    ck_assert_uint_eq(image.size_bytes, 8192);
    expect_bytes(0, 0, 4096);
    expect_bytes(4096, 'x', 512);
    expect_bytes(4608, 0, 6 * 512);
    expect_bytes(4096 + 7 * 512, 'x', 512);
    one.mask = RECORD_LOSE;
    recorder_state(1, 0, record_all_but_one, &one, &image);
    ck_assert_uint_eq(image.size_bytes, 13000);
    expect_bytes(3000, 'x', 1096);
    expect_bytes(4096, 0, 4096);
    expect_bytes(8192, 'x', 13000 - 8192);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(a_torn_piece_that_starts_within_a_page_uses_that_pages_sectors)
{
    int fd = open_file("a");
    struct record_one one = {0, 1u << 2};

    write_byte(fd, 'm', 512, 1024);
    recorder_state(1, 0, record_none_but_one, &one, &image);
    expect_bytes(1024, 'm', 512);
    one.mask = 1u << 1;
    recorder_state(1, 0, record_none_but_one, &one, &image);
    expect_bytes(1024, 0, 512);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(a_flush_does_not_cover_what_was_written_while_it_ran)
{
    int fd = open_file("a");
    size_t begun;

    write_byte(fd, 'a', 512, 0);
    begun = recorder_count();
    write_byte(fd, 'b', 512, 512);
    recorder_note_flush(fd, begun, false);
    ck_assert_uint_eq(recorder_state(3, 0, record_keep_none, NULL, &image), 1);
    ck_assert_uint_eq(image.size_bytes, 512);
    recorder_note_flush(fd, recorder_count(), false);
    ck_assert_uint_eq(recorder_state(4, 0, record_keep_none, NULL, &image), 0);
    ck_assert_uint_eq(image.size_bytes, 1024);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(after_a_failed_flush_no_later_one_makes_its_pages_durable)
{
    int fd = open_file("a");

    write_byte(fd, 'a', 512, 0);
    fault_arm(FAULT_FLUSH, 1, EIO);
    ck_rc(kvi_os->flush(fd), EIO);
    write_byte(fd, 'b', 512, 512);
    ck_ok(kvi_os->flush(fd));
    ck_assert_uint_eq(recorder_state(4, 0, record_keep_none, NULL, &image), 1);
    expect_bytes(0, 0, 512);
    expect_bytes(512, 'b', 512);
    write_byte(fd, 'c', 512, 0);
    ck_ok(kvi_os->flush(fd));
    ck_assert_uint_eq(recorder_state(6, 0, record_keep_none, NULL, &image), 1);
    expect_bytes(0, 'c', 512);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(truncates_and_punches_are_pieces_of_their_own)
{
    int fd = open_file("a");

    write_byte(fd, 'a', 8192, 0);
    ck_ok(kvi_os->flush(fd));
    ck_ok(kvi_os->punch(fd, 0, 4096));
    ck_ok(kvi_os->truncate(fd, 4096));
    ck_ok(kvi_os->truncate(fd, 12288));
    ck_assert_uint_eq(recorder_state(5, 0, record_by_bits, &(struct record_subset){0}, &image), 3);
    ck_assert_uint_eq(image.size_bytes, 8192);
    expect_bytes(0, 'a', 8192);
    recorder_state(5, 0, record_by_bits, &(struct record_subset){1}, &image);
    expect_bytes(0, 0, 4096);
    expect_bytes(4096, 'a', 4096);
    recorder_state(5, 0, record_by_bits, &(struct record_subset){6}, &image);
    ck_assert_uint_eq(image.size_bytes, 12288);
    expect_bytes(0, 'a', 4096);
    expect_bytes(4096, 0, 8192);
    ck_ok(kvi_os->allocate(fd, 12288, 10));
    recorder_state(6, 0, record_keep_all, NULL, &image);
    ck_assert_uint_eq(image.size_bytes, 12298);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(a_file_that_existed_is_on_disk_with_what_it_held)
{
    int fd;

    file_write(tmp_path("old"), "12345678", 8);
    fd = open_file("old");
    ck_ok(kvi_os->write_at(fd, "xx", 2, 2));
    recorder_state(1, 0, record_keep_none, NULL, &image);
    ck_assert_uint_eq(image.size_bytes, 8);
    ck_assert_mem_eq(image.data, "12345678", 8);
    recorder_state(1, 0, record_keep_all, NULL, &image);
    ck_assert_mem_eq(image.data, "12xx5678", 8);
    ck_ok(kvi_os->close(fd));
}
END_TEST

/* The state with everything kept is what a reader of this machine sees. */
START_TEST(keeping_everything_gives_the_file_as_it_is)
{
    struct rng rng;
    int fd = open_file("a");
    uint8_t block[9000];
    uint8_t *bytes;
    size_t size = 0;

    rng_seed(&rng, "recorder", 11);
    for (int i = 0; i < 300; i++) {
        uint64_t offset = rng_below(&rng, 60000);
        size_t length = (size_t)rng_between(&rng, 1, sizeof block);
        size_t half = length / 2;
        struct iovec parts[] = {{block, half}, {block + half, length - half}};

        rng_bytes(&rng, block, length);
        switch (rng_below(&rng, 10)) {
        case 0:
            ck_ok(kvi_os->truncate(fd, offset));
            break;
        case 1:
            ck_ok(kvi_os->punch(fd, offset, length));
            break;
        case 2:
            ck_ok(kvi_os->flush(fd));
            break;
        case 3:
            ck_ok(kvi_os->allocate(fd, offset, length));
            break;
        default:
            ck_ok(kvi_os->writev_at(fd, parts, 2, offset));
        }
        if (i % 20 == 0) {
            recorder_state(recorder_count(), 0, record_keep_all, NULL, &image);
            bytes = file_read(tmp_path("a"), &size);
            ck_assert_uint_eq(image.size_bytes, size);
            ck_assert_int_eq(memcmp(image.data ? image.data : block, bytes, size), 0);
            free(bytes);
        }
    }
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(random_choices_lose_tear_and_keep)
{
    struct rng rng;
    struct record_random random = {&rng, 30, 30};
    int fd = open_file("a");
    int lost = 0;
    int whole = 0;
    int torn = 0;

    rng_init(&rng, 3);
    write_byte(fd, 'r', 4096 * 100, 0);
    ck_assert_uint_eq(recorder_state(1, 0, record_randomly, &random, &image), 100);
    for (size_t at = 0; at + 4096 <= image.size_bytes; at += 4096) {
        int sectors = 0;

        for (size_t i = 0; i < 8; i++) {
            sectors += image.data[at + i * 512] == 'r';
        }
        lost += sectors == 0;
        whole += sectors == 8;
        torn += sectors > 0 && sectors < 8;
    }
    ck_assert_int_gt(lost, 10);
    ck_assert_int_gt(whole, 10);
    ck_assert_int_gt(torn, 10);
    ck_ok(kvi_os->close(fd));
}
END_TEST

/* ---- Names and marks
 * --------------------------------------------------------------------------------- */

START_TEST(a_name_is_durable_once_its_folder_was_flushed)
{
    int fd = open_file("temporary");
    int dir = -1;
    bool durable = true;
    size_t linked;

    write_byte(fd, 'a', 10, 0);
    ck_ok(kvi_os->link(tmp_path("temporary"), tmp_path("final")));
    linked = recorder_count();
    ck_ok(kvi_os->unlink(tmp_path("temporary")));
    ck_assert_int_eq(recorder_file_at(linked, tmp_path("final"), &durable), 0);
    ck_assert(!durable);
    ck_assert_int_eq(recorder_file_at(linked - 1, tmp_path("final"), NULL), -1);
    ck_ok(kvi_os->open(tmp_dir(), O_RDONLY | O_DIRECTORY, 0, &dir));
    ck_ok(kvi_os->flush_full(dir));
    ck_assert_int_eq(recorder_file_at(recorder_count(), tmp_path("final"), &durable), 0);
    ck_assert(durable);
    ck_ok(kvi_os->rename_noreplace(tmp_path("final"), tmp_path("other")));
    ck_assert_int_eq(recorder_file_at(recorder_count(), tmp_path("final"), &durable), -1);
    ck_assert(!durable);
    ck_assert_int_eq(recorder_file_at(recorder_count(), tmp_path("other"), NULL), 0);
    ck_ok(kvi_os->close(dir));
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(a_file_made_after_another_was_removed_is_another_file)
{
    for (int i = 0; i < 20; i++) {
        int fd = open_file("again");

        write_byte(fd, 'a', 10, 0);
        ck_assert_int_eq(recorder_get(recorder_count() - 1)->file, i);
        if (i % 2) {
            ck_ok(kvi_os->close(fd));
            ck_ok(kvi_os->unlink(tmp_path("again")));
        } else {
            ck_ok(kvi_os->unlink(tmp_path("again")));
            ck_ok(kvi_os->close(fd));
        }
    }
}
END_TEST

START_TEST(marks_tell_how_far_the_run_had_come)
{
    int fd = open_file("a");

    write_byte(fd, 'a', 10, 0);
    ck_assert_uint_eq(recorder_mark(7), 1);
    write_byte(fd, 'b', 10, 0);
    recorder_mark(8);
    ck_assert_uint_eq(recorder_last_mark(1, 99), 99);
    ck_assert_uint_eq(recorder_last_mark(2, 99), 7);
    ck_assert_uint_eq(recorder_last_mark(3, 99), 7);
    ck_assert_uint_eq(recorder_last_mark(4, 99), 8);
    ck_ok(kvi_os->close(fd));
}
END_TEST

/* ---- Faults
 * -------------------------------------------------------------------------------------------- */

START_TEST(just_the_nth_call_of_the_kind_fails)
{
    int fd = open_file("a");

    fault_arm(FAULT_WRITES, 2, ENOSPC);
    ck_ok(kvi_os->write_at(fd, "1", 1, 0));
    ck_ok(kvi_os->flush(fd));
    ck_assert(!fault_fired());
    ck_rc(kvi_os->writev_at(fd, &(struct iovec){(char[]){"2"}, 1}, 1, 1), ENOSPC);
    ck_assert(fault_fired());
    ck_ok(kvi_os->write_at(fd, "3", 1, 2));
    ck_assert_uint_eq(fault_count(FAULT_WRITES), 3);
    ck_assert_uint_eq(fault_count(FAULT_WRITE), 2);
    ck_assert_uint_eq(fault_count(FAULT_ANY), 4);
    fault_arm_from(FAULT_WRITE, 2, EIO);
    ck_ok(kvi_os->write_at(fd, "1", 1, 0));
    ck_rc(kvi_os->write_at(fd, "1", 1, 0), EIO);
    ck_rc(kvi_os->write_at(fd, "1", 1, 0), EIO);
    fault_disarm();
    ck_ok(kvi_os->write_at(fd, "1", 1, 0));
    ck_ok(kvi_os->close(fd));
    ck_assert_uint_eq(file_size(tmp_path("a")), 3);
}
END_TEST

START_TEST(a_failed_write_may_have_written_half)
{
    int fd = open_file("a");

    fault_set_partial(true);
    fault_arm(FAULT_WRITE, 1, ENOSPC);
    ck_rc(kvi_os->write_at(fd, "12345678", 8, 0), ENOSPC);
    ck_assert_uint_eq(file_size(tmp_path("a")), 4);
    recorder_state(recorder_count(), 0, record_keep_all, NULL, &image);
    ck_assert_uint_eq(image.size_bytes, 4);
    ck_ok(kvi_os->close(fd));
}
END_TEST

START_TEST(a_kill_comes_before_the_call)
{
    pid_t child = fork();
    int status = 0;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int fd = open_file("killed");

        fault_arm(FAULT_WRITE, 2, FAULT_KILL);
        (void)kvi_os->write_at(fd, "1", 1, 0);
        (void)kvi_os->write_at(fd, "2", 1, 1);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_uint_eq(file_size(tmp_path("killed")), 1);
}
END_TEST

static void count_flushes(void *context, enum fault_call call)
{
    int *count = context;

    *count += call == FAULT_FLUSH;
    (void)kvi_os->flush(-1); /* a call of the hook's own does not come back here */
}

START_TEST(a_hook_sees_each_call_before_it_is_made)
{
    int fd = open_file("a");
    int count = 0;

    fault_set_hook(count_flushes, &count);
    ck_ok(kvi_os->flush(fd));
    ck_ok(kvi_os->flush(fd));
    ck_ok(kvi_os->close(fd));
    ck_assert_int_eq(count, 2);
}
END_TEST

START_TEST(clock_and_boot_can_be_turned)
{
    uint8_t a[16];
    uint8_t b[16];
    uint64_t before = kvi_os->monotonic_ns();

    fault_clock_advance(3600000000000);
    ck_assert_uint_ge(kvi_os->monotonic_ns(), before + 3600000000000);
    ck_ok(kvi_os->boot_id(a));
    fault_set_boot(1);
    ck_ok(kvi_os->boot_id(b));
    ck_assert_int_ne(memcmp(a, b, 16), 0);
    fault_set_boot(2);
    ck_ok(kvi_os->boot_id(a));
    ck_assert_int_ne(memcmp(a, b, 16), 0);
}
END_TEST

START_TEST(every_call_can_be_made_to_fail)
{
    fault_record(false);
    for (unsigned call = 0; call < FAULT_CALLS_END; call++) {
        struct kvi_os_stat stat;
        uint64_t size;
        bool conflict;
        uint8_t bytes[16];
        void *address;
        struct kvi_os_store store = {.fd = -1, .ends = {-1, -1}};
        int64_t magic;
        size_t got;
        int fd;
        int rcs[FAULT_CALLS_END];

        fault_arm((enum fault_call)call, 1, ENOLINK);
        rcs[FAULT_OPEN] = kvi_os->open("/nowhere/at/all", O_RDONLY, 0, &fd);
        rcs[FAULT_CLOSE] = kvi_os->close(-1);
        rcs[FAULT_READ] = kvi_os->read_at(-1, bytes, 1, 0, &got);
        rcs[FAULT_WRITE] = kvi_os->write_at(-1, bytes, 1, 0);
        rcs[FAULT_WRITEV] = kvi_os->writev_at(-1, &(struct iovec){bytes, 1}, 1, 0);
        rcs[FAULT_STREAM] = kvi_os->write_stream(-1, bytes, 1);
        rcs[FAULT_FLUSH] = kvi_os->flush(-1);
        rcs[FAULT_FLUSH_FULL] = kvi_os->flush_full(-1);
        rcs[FAULT_WRITE_BACK] = kvi_os->write_back(-1, 0, 1);
        rcs[FAULT_TRUNCATE] = kvi_os->truncate(-1, 0);
        rcs[FAULT_ALLOCATE] = kvi_os->allocate(-1, 0, 1);
        rcs[FAULT_PREALLOCATE] = kvi_os->preallocate(-1, 0, 1);
        rcs[FAULT_PUNCH] = kvi_os->punch(-1, 0, 1);
        rcs[FAULT_SIZE] = kvi_os->size(-1, &size);
        rcs[FAULT_STAT_FD] = kvi_os->stat_fd(-1, &stat);
        rcs[FAULT_STAT_PATH] = kvi_os->stat_path("/nowhere/at/all", &stat);
        rcs[FAULT_FS_TYPE] = kvi_os->fs_type(-1, &magic);
        rcs[FAULT_LINK_FD] = kvi_os->link_fd(-1, "/nowhere/at/all");
        rcs[FAULT_LINK] = kvi_os->link("/nowhere/at/all", "/nowhere/at/all2");
        rcs[FAULT_RENAME] = kvi_os->rename_noreplace("/nowhere/at/all", "/nowhere/at/all2");
        rcs[FAULT_UNLINK] = kvi_os->unlink("/nowhere/at/all");
        rcs[FAULT_MEMFD] = kvi_os->memfd("x", &fd);
        if (rcs[FAULT_MEMFD] == 0) {
            ck_assert_int_eq(close(fd), 0);
        }
        rcs[FAULT_MAP] = kvi_os->map(-1, 0, 4096, false, &address);
        rcs[FAULT_UNMAP] = kvi_os->unmap((void *)(uintptr_t)1, 4096);
        rcs[FAULT_MAP_ANON] = kvi_os->map_anon(4096, &address);
        if (rcs[FAULT_MAP_ANON] == 0) {
            ck_ok(kvi_os_real.unmap(address, 4096));
        }
        rcs[FAULT_ADVISE] = kvi_os->advise((void *)(uintptr_t)1, 4096, 0);
        rcs[FAULT_RESIDENT] = kvi_os->resident((void *)(uintptr_t)1, &conflict);
        rcs[FAULT_STORE_OPEN] = kvi_os->store_open(&store);
        rcs[FAULT_STORE] = kvi_os->store(&store, &(struct iovec){bytes, 1}, &(uint64_t){0}, 0);
        if (rcs[FAULT_STORE_OPEN] == 0)
            kvi_os->store_close(&store);
        rcs[FAULT_LOCK] = kvi_os->lock(-1, KVI_OS_LOCK_READ, 0, 1);
        rcs[FAULT_LOCK_PROBE] = kvi_os->lock_probe(-1, KVI_OS_LOCK_READ, 0, 1, &conflict);
        rcs[FAULT_RANDOM] = kvi_os->random(bytes, 1);
        rcs[FAULT_BOOT_ID] = kvi_os->boot_id(bytes);
        for (unsigned i = 0; i < FAULT_CALLS_END; i++) {
            ck_assert_msg((rcs[i] == ENOLINK) == (i == call), "%s armed, %s gave %d",
                          fault_name((enum fault_call)call), fault_name((enum fault_call)i),
                          rcs[i]);
        }
        ck_assert_uint_eq(fault_count(FAULT_ANY), FAULT_CALLS_END);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("recorder");

    harness_add_fixture(s, "states", what_was_flushed_is_there_and_the_rest_is_a_choice, start,
                        stop);
    harness_add(s, "states", earlier_states_can_be_asked_for_after_later_ones);
    harness_add(s, "states", a_write_falls_into_pages_and_sectors);
    harness_add(s, "states", a_torn_piece_that_starts_within_a_page_uses_that_pages_sectors);
    harness_add(s, "states", a_flush_does_not_cover_what_was_written_while_it_ran);
    harness_add(s, "states", after_a_failed_flush_no_later_one_makes_its_pages_durable);
    harness_add(s, "states", truncates_and_punches_are_pieces_of_their_own);
    harness_add(s, "states", a_file_that_existed_is_on_disk_with_what_it_held);
    harness_add(s, "states", keeping_everything_gives_the_file_as_it_is);
    harness_add(s, "states", random_choices_lose_tear_and_keep);
    harness_add(s, "states", a_name_is_durable_once_its_folder_was_flushed);
    harness_add(s, "states", a_file_made_after_another_was_removed_is_another_file);
    harness_add(s, "states", marks_tell_how_far_the_run_had_come);
    harness_add(s, "states", just_the_nth_call_of_the_kind_fails);
    harness_add(s, "states", a_failed_write_may_have_written_half);
    harness_add(s, "states", a_kill_comes_before_the_call);
    harness_add(s, "states", a_hook_sees_each_call_before_it_is_made);
    harness_add(s, "states", clock_and_boot_can_be_turned);
    harness_add(s, "states", every_call_can_be_made_to_fail);
    return s;
}

HARNESS_MAIN(suite)
