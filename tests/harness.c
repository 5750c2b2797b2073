/* SPDX-License-Identifier: MIT */
/*
 * Owns the folder of temporary files and the paths handed out in it; see harness.h.
 *
 * The folder belongs to the process that made it: a child that ends by exit leaves it alone. All of
 * it is for the thread that runs the tests.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* ---- Suites ---------------------------------------------------------------------------------- */

static TCase *last_case;
static const char *last_case_name;
static const Suite *last_suite;

/* Check cannot look a case up, so only a run of tests of the same case shares one. */
static TCase *case_of(Suite *suite, const char *name, void (*setup)(void), void (*teardown)(void))
{
    if (suite != last_suite || !last_case_name || strcmp(name, last_case_name) != 0) {
        last_case = tcase_create(name);
        tcase_set_timeout(last_case, HARNESS_TIMEOUT_S);
        if (setup || teardown) {
            tcase_add_checked_fixture(last_case, setup, teardown);
        }
        suite_add_tcase(suite, last_case);
        last_case_name = name;
        last_suite = suite;
    }
    return last_case;
}

void harness_add(Suite *suite, const char *case_name, const TTest *test)
{
    tcase_add_test(case_of(suite, case_name, NULL, NULL), test);
}

void harness_add_loop(Suite *suite, const char *case_name, const TTest *test, int first, int end)
{
    tcase_add_loop_test(case_of(suite, case_name, NULL, NULL), test, first, end);
}

void harness_add_fixture(Suite *suite, const char *case_name, const TTest *test,
                         void (*setup)(void), void (*teardown)(void))
{
    tcase_add_test(case_of(suite, case_name, setup, teardown), test);
}

int harness_main(int argc, char **argv, Suite *(*suite_fn)(void), enum fork_status fork_status)
{
    SRunner *runner;
    int failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    runner = srunner_create(suite_fn());
    if (!getenv("CK_FORK")) {
        srunner_set_fork_status(runner, fork_status);
    }
    srunner_run(runner, NULL, argc > 1 ? argv[1] : NULL, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

void harness_expect(const char *file, int line, const char *call, int rc, int expected)
{
    if (rc == expected) {
        return;
    }
    fprintf(stderr, "%s:%d: %s\n", file, line, call);
    ck_abort_msg("%s:%d: %s gave %d (%s), not %d (%s); last error: %s", file, line, call, rc,
                 kvi_strerror(rc), expected, kvi_strerror(expected), kvi_error_text());
}

/* ---- Files ----------------------------------------------------------------------------------- */

static char folder[512];
static pid_t folder_owner;

struct path {
    struct path *next;
    char text[];
};

static struct path *paths;

static void remove_tree(const char *path, bool itself)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char inner[1024];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0 && (errno == EISDIR || errno == EPERM)) {
            (void)chmod(inner, 0700);
            remove_tree(inner, true);
        }
    }
    if (dir) {
        (void)closedir(dir);
    }
    if (itself) {
        (void)rmdir(path);
    }
}

static void remove_folder(void)
{
    if (folder_owner == getpid()) {
        remove_tree(folder, true);
    }
    while (paths) {
        struct path *next = paths->next;

        free(paths);
        paths = next;
    }
}

const char *tmp_dir(void)
{
    const char *base = getenv("TMPDIR");

    if (!folder[0]) {
        (void)snprintf(folder, sizeof folder, "%s/kv-test-XXXXXX", base && *base ? base : "/tmp");
        if (!mkdtemp(folder)) {
            perror(folder);
            abort();
        }
        folder_owner = getpid();
        (void)atexit(remove_folder);
    }
    return folder;
}

const char *tmp_path(const char *format, ...)
{
    const char *base = tmp_dir();
    size_t length = strlen(base) + 1;
    struct path *path;
    va_list args;
    int more;

    va_start(args, format);
    more = vsnprintf(NULL, 0, format, args);
    va_end(args);
    path = malloc(sizeof *path + length + (size_t)more + 1);
    if (!path) {
        abort();
    }
    (void)snprintf(path->text, length + 1, "%s/", base);
    va_start(args, format);
    (void)vsnprintf(path->text + length, (size_t)more + 1, format, args);
    va_end(args);
    path->next = paths;
    paths = path;
    return path->text;
}

void tmp_clear(void)
{
    remove_tree(tmp_dir(), false);
}

uint8_t *file_read(const char *path, size_t *size_out)
{
    FILE *file = fopen(path, "rb");
    size_t size = (size_t)file_size(path);
    uint8_t *data = malloc(size + 1);

    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(fread(data, 1, size, file), size);
    data[size] = 0;
    (void)fclose(file);
    *size_out = size;
    return data;
}

void file_write(const char *path, const void *data, size_t size_bytes)
{
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(data, 1, size_bytes, file), size_bytes);
    ck_assert_int_eq(fclose(file), 0);
}

bool file_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

uint64_t file_size(const char *path)
{
    struct stat st;

    ck_assert_msg(stat(path, &st) == 0, "%s: %s", path, strerror(errno));
    return (uint64_t)st.st_size;
}

const char *kvctl_path(void)
{
    const char *path = getenv("KVCTL");

    return path && *path ? path : "build/release/kvctl";
}

/* ---- Random numbers and amounts of work --------------------------------------------------------
 */

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void rng_init(struct rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->s[i] = splitmix64(&seed);
    }
}

void rng_seed(struct rng *rng, const char *what, uint64_t seed)
{
    const char *chosen = getenv("KV_TEST_SEED");

    if (chosen && *chosen) {
        seed = strtoull(chosen, NULL, 0);
    }
    printf("%s: seed %llu (KV_TEST_SEED sets it)\n", what, (unsigned long long)seed);
    rng_init(rng, seed);
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t end)
{
    return rng_next(rng) % end;
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t end)
{
    return low + rng_below(rng, end - low);
}

bool rng_chance(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

void rng_bytes(struct rng *rng, void *data, size_t size_bytes)
{
    uint8_t *bytes = data;

    for (size_t i = 0; i < size_bytes; i += 8) {
        uint64_t word = rng_next(rng);
        size_t left = size_bytes - i;

        memcpy(bytes + i, &word, left < 8 ? left : 8);
    }
}

uint64_t scaled(uint64_t count)
{
    const char *text = getenv("KV_TEST_SCALE");
    uint64_t percent = text && *text ? strtoull(text, NULL, 10) : 100;
    uint64_t result = count / 100 * percent + count % 100 * percent / 100;

    return result ? result : 1;
}
