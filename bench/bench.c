/* SPDX-License-Identifier: MIT */
/*
 * The benchmark: libkv against the packaged LMDB, same keys, same order, same process, rounds
 * interleaved and medians taken. `--help` tells the options; `--write FILE` writes the table with
 * machine and versions.
 */
#include <errno.h>
#include <getopt.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "kv.h"
#include "report.h"
#include "workloads.h"

enum part {
    PART_MAIN = 1,
    PART_SYNC = 2,
    PART_PINNED = 4,
    PART_SPACE = 8,
    PART_OPEN = 16,
    PART_VERIFY = 32,
    PART_MODEL = 64,
    PART_LAZY = 128,
    PART_DROPIN = 256,
    PART_ALL = 511
};

struct setup {
    struct bench_plan plan;
    unsigned parts;
    unsigned key_kinds; /* bit by enum keys_kind */
    const char *write_path;
    const char *library; /* shared libraries for the verify workload; NULL: left out */
    const char *trusting;
    const char *dropin; /* liblmdb.so.0 of ours; NULL: left out */
};

void store_fail(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

void store_remove(const char *path)
{
    char lock[600];

    unlink(path);
    snprintf(lock, sizeof(lock), "%s-lock", path);
    unlink(lock);
}

static void progress(const char *what, uint32_t round, uint32_t rounds)
{
    fprintf(stderr, "%s, round %u of %u\n", what, round + 1, rounds);
}

static void run_main(const struct setup *setup)
{
    struct keys keys[3];

    for (unsigned kind = 0; kind < 3; kind++)
        keys_init(&keys[kind], (enum keys_kind)kind, setup->plan.records, 1);
    for (uint32_t round = 0; round < setup->plan.rounds; round++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            if (!(setup->key_kinds >> kind & 1))
                continue;
            progress(keys_name((enum keys_kind)kind), round, setup->plan.rounds);
            if (setup->parts & PART_MAIN)
                bench_main_round(&setup->plan, &keys[kind], round % REPORT_STORES);
            if (setup->parts & PART_SYNC)
                bench_sync_round(&setup->plan, &keys[kind], round % 2);
            if (setup->parts & PART_LAZY && kind == KEYS_RANDOM_8)
                bench_lazy_round(&setup->plan, &keys[kind], round % 2);
            if (setup->parts & PART_DROPIN && setup->dropin)
                bench_dropin_round(&setup->plan, &keys[kind], round % 2);
        }
    }
    for (unsigned kind = 0; kind < 3; kind++)
        keys_release(&keys[kind]);
}

static void run(const struct setup *setup)
{
    if (setup->dropin)
        store_dropin_load(setup->dropin);
    if (setup->parts & (PART_MAIN | PART_SYNC | PART_LAZY | PART_DROPIN))
        run_main(setup);
    for (uint32_t round = 0; round < setup->plan.rounds && setup->parts & PART_PINNED; round++) {
        progress("pinned reader", round, setup->plan.rounds);
        bench_pinned(&setup->plan);
    }
    for (uint32_t round = 0; round < setup->plan.rounds && setup->parts & PART_MODEL; round++) {
        progress("data model", round, setup->plan.rounds);
        bench_model(&setup->plan, round);
    }
    if (setup->parts & PART_VERIFY && setup->library && setup->trusting) {
        fprintf(stderr, "verified against trusted pages\n");
        bench_verify(&setup->plan, setup->library, setup->trusting);
    }
    if (setup->parts & PART_SPACE) {
        fprintf(stderr, "free space\n");
        bench_free_space(&setup->plan);
    }
    if (setup->parts & PART_OPEN) {
        fprintf(stderr, "open after a kill\n");
        bench_open_killed(&setup->plan);
    }
}

/* ---- The document ---- */

static void cpu_name(char *out, size_t size)
{
    FILE *in = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(out, size, "unknown");
    while (in && fgets(line, sizeof(line), in)) {
        char *colon = strchr(line, ':');

        if (colon && strncmp(line, "model name", 10) == 0) {
            colon[strcspn(colon, "\n")] = 0;
            snprintf(out, size, "%s", colon + 2);
            break;
        }
    }
    if (in)
        fclose(in);
}

static void document(const struct setup *setup)
{
    FILE *out = fopen(setup->write_path, "w");
    struct utsname machine;
    struct statfs fs;
    char cpu[200];

    if (!out || uname(&machine) || statfs(setup->plan.directory, &fs))
        store_fail(setup->write_path, strerror(errno));
    cpu_name(cpu, sizeof(cpu));
    fprintf(
        out,
        "# Benchmark\n\nWritten by `make bench`. Both stores run the same keys in the same order "
        "in the same process; rounds are\ninterleaved, each number is a median over %u rounds. "
        "A ratio is libkv's time (or size) over LMDB's:\nsmaller is better, below 1 libkv is "
        "ahead.\n\n",
        setup->plan.rounds);
    fprintf(out, "- machine: %s, %ld processors, %s %s, file system type %#lx\n", cpu,
            sysconf(_SC_NPROCESSORS_ONLN), machine.sysname, machine.release, (long)fs.f_type);
    fprintf(out, "- libkv %s, checksums and tags verified; %s\n", kv_version(),
            mdb_version(NULL, NULL, NULL));
    fprintf(
        out,
        "- %u records of 100-byte values, one thread. Main rows: KV_NONE, which flushes only when "
        "asked and, on ext4\n  and tmpfs, stores through a writable mapping, against MDB_NOSYNC, "
        "with MDB_WRITEMAP beside it. Rows named\n  KV_LAZY: buffered writes and a durable point "
        "each 64 MiB or second, against MDB_NOSYNC, which has none.\n  fillsync: KV_DURABLE "
        "against LMDB's default, %u puts.\n- LMDB's file size is its highest page; libkv's is "
        "the file's length.\n\n",
        setup->plan.records, setup->plan.syncs);
    report_print(out, 1);
    if (fclose(out))
        store_fail(setup->write_path, strerror(errno));
}

/* ---- Options ---- */

static void usage(void)
{
    printf("usage: bench [options]\n"
           "  --records N   records of the main workloads (1000000)\n"
           "  --rounds N    interleaved rounds (5)\n"
           "  --syncs N     durable single puts (2000)\n"
           "  --free-pages N  free pages of the free-space workload (1000000)\n"
           "  --open-gib N  file size of the open-after-kill workload (10)\n"
           "  --parts LIST  of main,sync,lazy,dropin,pinned,model,verify,space,open (all)\n"
           "  --keys LIST   of 8,16,31 (all)\n"
           "  --dir PATH    where databases are made (a new folder here)\n"
           "  --library F   libkv.so as it is, and\n"
           "  --dropin F    the LMDB drop-in, liblmdb.so.0: needed by dropin\n"
           "  --trusting F  one built with KVI_TRUST_PAGES: needed by verify\n"
           "  --write FILE  write the table as a document\n");
}

static unsigned parts_of(const char *list)
{
    unsigned parts = 0;

    parts |= strstr(list, "main") ? PART_MAIN : 0u;
    parts |= strstr(list, "sync") ? PART_SYNC : 0u;
    parts |= strstr(list, "pinned") ? PART_PINNED : 0u;
    parts |= strstr(list, "space") ? PART_SPACE : 0u;
    parts |= strstr(list, "open") ? PART_OPEN : 0u;
    parts |= strstr(list, "verify") ? PART_VERIFY : 0u;
    parts |= strstr(list, "lazy") ? PART_LAZY : 0u;
    parts |= strstr(list, "dropin") ? PART_DROPIN : 0u;
    parts |= strstr(list, "model") ? PART_MODEL : 0u;
    return parts;
}

static unsigned kinds_of(const char *list)
{
    unsigned kinds = 0;

    kinds |= strstr(list, "8") ? 1u << KEYS_RANDOM_8 : 0u;
    kinds |= strstr(list, "16") ? 1u << KEYS_DIGITS_16 : 0u;
    kinds |= strstr(list, "31") ? 1u << KEYS_PREFIX_31 : 0u;
    return kinds;
}

static uint32_t number_of(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*end || number == 0 || number > UINT32_MAX)
        store_fail("bad number", text);
    return (uint32_t)number;
}

static void options_parse(int argc, char **argv, struct setup *setup)
{
    static const struct option options[] = {
        {"records", 1, NULL, 'n'}, {"rounds", 1, NULL, 'r'},     {"syncs", 1, NULL, 's'},
        {"parts", 1, NULL, 'p'},   {"keys", 1, NULL, 'k'},       {"dir", 1, NULL, 'd'},
        {"write", 1, NULL, 'w'},   {"free-pages", 1, NULL, 'f'}, {"open-gib", 1, NULL, 'o'},
        {"library", 1, NULL, 'l'}, {"trusting", 1, NULL, 't'},   {"dropin", 1, NULL, 'i'},
        {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'n':
            setup->plan.records = number_of(optarg);
            break;
        case 'r':
            setup->plan.rounds = number_of(optarg);
            break;
        case 's':
            setup->plan.syncs = number_of(optarg);
            break;
        case 'f':
            setup->plan.free_pages = number_of(optarg);
            break;
        case 'o':
            setup->plan.open_bytes = (uint64_t)number_of(optarg) << 30;
            break;
        case 'p':
            setup->parts = parts_of(optarg);
            break;
        case 'k':
            setup->key_kinds = kinds_of(optarg);
            break;
        case 'd':
            setup->plan.directory = optarg;
            break;
        case 'w':
            setup->write_path = optarg;
            break;
        case 'l':
            setup->library = optarg;
            break;
        case 'i':
            setup->dropin = optarg;
            break;
        case 't':
            setup->trusting = optarg;
            break;
        case 'h':
            usage();
            exit(0);
        default:
            usage();
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct setup setup = {.plan = {NULL, 1000000, 2000, 1000000, UINT64_C(10) << 30, 5},
                          .parts = PART_ALL,
                          .key_kinds = 7};
    char made[] = "bench-data-XXXXXX";

    options_parse(argc, argv, &setup);
    if (!setup.plan.directory)
        setup.plan.directory = mkdtemp(made);
    if (!setup.plan.directory)
        store_fail("mkdtemp", strerror(errno));
    run(&setup);
    report_print(stdout, 0);
    if (setup.write_path)
        document(&setup);
    if (setup.plan.directory == made)
        rmdir(made);
    return 0;
}
