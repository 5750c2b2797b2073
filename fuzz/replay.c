/* SPDX-License-Identifier: MIT */
/*
 * A main for fuzz targets without a fuzzer: gives each file named on the command line, and each
 * file of the folders named there, to LLVMFuzzerTestOneInput. A target that finds a fault ends the
 * program. Its last line is that of a test program, so that the test runner counts inputs as
 * checks. An empty input always comes first, so that a target without a corpus is run too.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Targets that prepare something define it; the others do without. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static unsigned long inputs;

static void run_bytes(const uint8_t *data, size_t size)
{
    (void)LLVMFuzzerTestOneInput(data, size);
    inputs++;
}

static int run_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size ? size : 1);
    FILE *file = fopen(path, "rb");
    int rc = 0;

    if (!data || !file || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        rc = 1;
    } else {
        printf("%s\n", path);
        fflush(stdout);
        run_bytes(data, size);
    }
    if (file) {
        (void)fclose(file);
    }
    free(data);
    return rc;
}

static int run_path(const char *path);

static int run_folder(const char *path)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    int rc = count < 0;

    for (int i = 0; i < count; i++) {
        char inner[4096];

        if (names[i]->d_name[0] != '.') {
            (void)snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
            rc |= run_path(inner);
        }
        free(names[i]);
    }
    free(names);
    return rc;
}

static int run_path(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    return S_ISDIR(st.st_mode) ? run_folder(path) : run_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
    int rc = 0;

    if (LLVMFuzzerInitialize) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    run_bytes((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        rc |= run_path(argv[i]);
    }
    printf("%d%%: Checks: %lu, Failures: %d, Errors: 0\n", rc ? 0 : 100, inputs, rc);
    return rc;
}
