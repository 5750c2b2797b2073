/* SPDX-License-Identifier: MIT */
/*
 * Owns the records, the files that they speak of, and per file the image of what is durable up to
 * some record, so that states with rising ends cost one copy and the open pieces. See recorder.h.
 *
 * A file's image is never ahead of the state that is asked for: asking for an earlier one starts
 * anew from what the file held at first.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "recorder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    uint64_t dev;
    uint64_t inode;
    bool dead;                 /* its last name and descriptor are gone; the inode may be reused */
    unsigned opens;            /* descriptors */
    unsigned links;            /* names, when it was last looked up by one */
    size_t first_record;       /* records_count when it was first seen */
    size_t pending_from;       /* records of it below this are settled or in doubt for ever */
    struct record_image first; /* what it held when first seen */
    struct record_image image; /* first, and all records of it below image_end, all durable */
    size_t image_end;
    size_t image_settled; /* the state's end must be above this for the image to hold; 0: any */
};

static struct record *records;
static size_t records_count;
static size_t records_room;
static struct file *files;
static size_t files_count;

static void *must(void *memory)
{
    if (!memory) {
        abort();
    }
    return memory;
}

/* ---- Images ------------------------------------------------------------------------------------
 */

static void image_resize(struct record_image *image, size_t size)
{
    if (size > image->capacity) {
        image->capacity = size + size / 2;
        image->data = must(realloc(image->data, image->capacity));
    }
    if (size > image->size_bytes) {
        memset(image->data + image->size_bytes, 0, size - image->size_bytes);
    }
    image->size_bytes = size;
}

static void image_copy(struct record_image *to, const struct record_image *from)
{
    image_resize(to, from->size_bytes);
    if (from->size_bytes) {
        memcpy(to->data, from->data, from->size_bytes);
    }
}

static void image_grow(struct record_image *image, size_t size)
{
    if (size > image->size_bytes) {
        image_resize(image, size);
    }
}

static void image_punch(struct record_image *image, uint64_t offset, uint64_t size)
{
    if (offset < image->size_bytes) {
        uint64_t left = image->size_bytes - offset;

        memset(image->data + offset, 0, (size_t)(size < left ? size : left));
    }
}

void record_image_write(const struct record_image *image, const char *path)
{
    file_write(path, image->data ? (const void *)image->data : "", image->size_bytes);
}

void record_image_release(struct record_image *image)
{
    free(image->data);
    memset(image, 0, sizeof *image);
}

/* ---- Files
 * --------------------------------------------------------------------------------------- */

static void read_all(int fd, struct record_image *image, size_t size)
{
    char path[64];
    size_t got;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* fd may be for writing only */
    image_resize(image, size);
    file = must(fopen(path, "rb"));
    got = fread(image->data, 1, size, file);
    image->size_bytes = got;
    (void)fclose(file);
}

static int find_file(const struct stat *st)
{
    for (size_t i = files_count; i > 0; i--) {
        const struct file *file = &files[i - 1];

        if (!file->dead && file->dev == st->st_dev && file->inode == st->st_ino) {
            return (int)(i - 1);
        }
    }
    return -1;
}

/* The file behind a descriptor, taken in if it is new; -1 for what is no plain file. */
static int file_of_fd(int fd)
{
    struct stat st;
    int found;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return -1;
    }
    found = find_file(&st);
    if (found < 0) {
        struct file *file;

        files = must(realloc(files, (files_count + 1) * sizeof *files));
        file = &files[files_count];
        memset(file, 0, sizeof *file);
        file->dev = st.st_dev;
        file->inode = st.st_ino;
        if (st.st_size > 0) {
            read_all(fd, &file->first, (size_t)st.st_size);
        }
        image_copy(&file->image, &file->first);
        file->first_record = file->pending_from = file->image_end = records_count;
        found = (int)files_count++;
    }
    return found;
}

int recorder_file_of(const char *path, int fd)
{
    struct stat st;
    int file;

    if (!path) {
        return file_of_fd(fd);
    }
    file = lstat(path, &st) == 0 ? find_file(&st) : -1;
    if (file >= 0) {
        files[file].links = (unsigned)st.st_nlink;
    }
    return file;
}

/* ---- Records
 * -------------------------------------------------------------------------------------- */

static struct record *add_record(enum record_kind kind, int file)
{
    struct record *record;

    if (records_count == records_room) {
        records_room = records_room ? records_room * 2 : 256;
        records = must(realloc(records, records_room * sizeof *records));
    }
    record = &records[records_count++];
    memset(record, 0, sizeof *record);
    record->kind = kind;
    record->file = file;
    record->settled = SIZE_MAX;
    return record;
}

void recorder_reset(void)
{
    for (size_t i = 0; i < records_count; i++) {
        free(records[i].data);
        free(records[i].path);
        free(records[i].path_to);
    }
    for (size_t i = 0; i < files_count; i++) {
        record_image_release(&files[i].first);
        record_image_release(&files[i].image);
    }
    free(records);
    free(files);
    records = NULL;
    files = NULL;
    records_count = records_room = files_count = 0;
}

size_t recorder_count(void)
{
    return records_count;
}

const struct record *recorder_get(size_t number)
{
    return number < records_count ? &records[number] : NULL;
}

size_t recorder_mark(uint64_t value)
{
    add_record(RECORD_MARK, -1)->offset = value;
    return records_count - 1;
}

uint64_t recorder_last_mark(size_t end, uint64_t none)
{
    for (size_t i = end < records_count ? end : records_count; i > 0; i--) {
        if (records[i - 1].kind == RECORD_MARK) {
            return records[i - 1].offset;
        }
    }
    return none;
}

void recorder_see(int fd)
{
    (void)file_of_fd(fd);
}

void recorder_note_open(int fd)
{
    int file = file_of_fd(fd);

    if (file >= 0) {
        files[file].opens++;
    }
}

void recorder_note_close(int fd)
{
    int file = file_of_fd(fd);
    struct stat st;

    if (file < 0 || fstat(fd, &st) != 0) {
        return;
    }
    if (files[file].opens) {
        files[file].opens--;
    }
    if (files[file].opens == 0 && st.st_nlink == 0) {
        files[file].dead = true;
    }
}

static void note_bytes(int fd, enum record_kind kind, const void *data, uint64_t size_bytes,
                       uint64_t offset)
{
    int file = file_of_fd(fd);
    struct record *record;

    if (file < 0 || size_bytes == 0) {
        return;
    }
    record = add_record(kind, file);
    record->offset = offset;
    record->size_bytes = size_bytes;
    record->data = must(malloc((size_t)size_bytes));
    memcpy(record->data, data, (size_t)size_bytes);
}

void recorder_note_write(int fd, const void *data, uint64_t size_bytes, uint64_t offset)
{
    note_bytes(fd, RECORD_WRITE, data, size_bytes, offset);
}

void recorder_note_store(int fd, const void *data, uint64_t size_bytes, uint64_t offset)
{
    note_bytes(fd, RECORD_STORE, data, size_bytes, offset);
}

void recorder_note_range(int fd, enum record_kind kind, uint64_t offset, uint64_t size_bytes)
{
    int file = file_of_fd(fd);

    if (file >= 0) {
        struct record *record = add_record(kind, file);

        record->offset = offset;
        record->size_bytes = size_bytes;
    }
}

static bool changes_file(const struct record *record)
{
    return record->kind <= RECORD_PUNCH;
}

/* A record is settled by the first flush that covers it. After a failed one it is in doubt for
 * ever: its number stays SIZE_MAX, and no later flush looks at it. */
static void settle(struct file *file, size_t begun, size_t flush, bool failed)
{
    int number = (int)(file - files);

    for (; file->pending_from < begun; file->pending_from++) {
        struct record *record = &records[file->pending_from];

        if (record->file == number && changes_file(record) && !failed) {
            record->settled = flush;
        }
    }
}

static char *folder_path(int fd)
{
    char link[64];
    char path[4096];
    ssize_t length;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return must(strdup(path));
}

void recorder_note_flush(int fd, size_t begun, bool failed)
{
    struct stat st;
    struct record *record;
    int file = file_of_fd(fd);

    if (file < 0 && !failed && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        record = add_record(RECORD_DIR_FLUSH, -1);
        record->offset = begun;
        record->path = folder_path(fd);
    }
    if (file >= 0) {
        record = add_record(failed ? RECORD_FLUSH_FAILED : RECORD_FLUSH, file);
        record->offset = begun;
        settle(&files[file], begun, records_count - 1, failed);
    }
}

/* ---- Names
 * --------------------------------------------------------------------------------------- */

/* Names are kept with their folder resolved, as the folder's own flush tells it. */
static char *full_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    char *folder = slash ? must(strndup(path, (size_t)(slash - path) + 1)) : must(strdup("."));
    char *resolved = realpath(folder, NULL);
    char *full = NULL;

    if (asprintf(&full, "%s/%s", resolved ? resolved : folder, last) < 0) {
        abort();
    }
    free(folder);
    free(resolved);
    return full;
}

void recorder_note_link(int file, const char *to)
{
    add_record(RECORD_LINK, file)->path = full_path(to);
}

void recorder_note_unlink(int file, const char *path)
{
    add_record(RECORD_UNLINK, file)->path = full_path(path);
    if (file >= 0 && files[file].opens == 0 && files[file].links == 1) {
        files[file].dead = true;
    }
}

void recorder_note_rename(int file, const char *from, const char *to)
{
    struct record *record = add_record(RECORD_RENAME, file);

    record->path = full_path(from);
    record->path_to = full_path(to);
}

static bool folder_flushed(size_t after, size_t end, const char *path)
{
    size_t folder = (size_t)(strrchr(path, '/') - path);

    for (size_t i = after + 1; i < end; i++) {
        const struct record *record = &records[i];

        if (record->kind == RECORD_DIR_FLUSH && record->offset > after &&
            strlen(record->path) == folder && strncmp(record->path, path, folder) == 0) {
            return true;
        }
    }
    return false;
}

int recorder_file_at(size_t end, const char *path, bool *durable_out)
{
    char *full = full_path(path);
    int file = -1;
    size_t since = SIZE_MAX;

    if (end > records_count) {
        end = records_count;
    }
    for (size_t i = 0; i < end; i++) {
        const struct record *record = &records[i];

        if (record->kind == RECORD_LINK && strcmp(record->path, full) == 0) {
            file = record->file;
            since = i;
        } else if (record->kind == RECORD_UNLINK && strcmp(record->path, full) == 0) {
            file = -1;
            since = i;
        } else if (record->kind == RECORD_RENAME && strcmp(record->path_to, full) == 0) {
            file = record->file;
            since = i;
        } else if (record->kind == RECORD_RENAME && strcmp(record->path, full) == 0) {
            file = -1;
            since = i;
        }
    }
    if (durable_out) {
        *durable_out = since == SIZE_MAX || folder_flushed(since, end, full);
    }
    free(full);
    return file;
}

/* ---- States
 * --------------------------------------------------------------------------------------- */

static bool durable_at(const struct record *record, size_t end)
{
    return record->settled < end;
}

static bool has_bytes(const struct record *record)
{
    return record->kind == RECORD_WRITE || record->kind == RECORD_STORE;
}

/* A sector in which a store was caught half-way: any of its words of 8 bytes. */
static void apply_words(uint8_t *to, const uint8_t *from, uint64_t size, uint64_t seed)
{
    for (uint64_t at = 0; at < size; at += 8) {
        seed = (seed ^ at) * UINT64_C(0x9E3779B97F4A7C15) + 1;
        if (seed >> 63) {
            memcpy(to + at, from + at, (size_t)(size - at < 8 ? size - at : 8));
        }
    }
}

/* Applies the sectors of a write's piece; the file then is as long as the whole piece. A store is
 * torn within the sector behind each that is kept. */
static void apply_piece(struct record_image *image, const struct record *record,
                        const struct record_piece *piece, unsigned mask)
{
    uint64_t end = piece->offset + piece->size_bytes;
    unsigned bit = (unsigned)(piece->offset % RECORD_PIECE / RECORD_SECTOR);
    uint64_t at = piece->offset;

    if (mask == RECORD_LOSE) {
        return;
    }
    image_grow(image, (size_t)end);
    for (; at < end; bit++) {
        uint64_t next = at - at % RECORD_SECTOR + RECORD_SECTOR;

        next = next < end ? next : end;
        if (mask == RECORD_KEEP || mask >> bit & 1) {
            memcpy(image->data + at, record->data + (at - record->offset), (size_t)(next - at));
        } else if (record->kind == RECORD_STORE && bit > 0 && mask >> (bit - 1) & 1) {
            apply_words(image->data + at, record->data + (at - record->offset), next - at,
                        mask + piece->number);
        }
        at = next;
    }
}

static void apply_whole(struct record_image *image, const struct record *record)
{
    switch (record->kind) {
    case RECORD_WRITE:
    case RECORD_STORE:
        image_grow(image, (size_t)(record->offset + record->size_bytes));
        memcpy(image->data + record->offset, record->data, (size_t)record->size_bytes);
        break;
    case RECORD_TRUNCATE:
        image_resize(image, (size_t)record->size_bytes);
        break;
    case RECORD_ALLOCATE:
        image_grow(image, (size_t)(record->offset + record->size_bytes));
        break;
    case RECORD_PUNCH:
        image_punch(image, record->offset, record->size_bytes);
        break;
    default:
        break;
    }
}

/* Calls `visit` for each piece of a record. */
typedef void visit_fn(void *context, const struct record *record, const struct record_piece *piece);

static void visit_pieces(size_t number, size_t *count, visit_fn *visit, void *context)
{
    const struct record *record = &records[number];
    struct record_piece piece = {*count, number, record->kind, record->offset, 0};
    uint64_t end = record->offset + record->size_bytes;

    if (!has_bytes(record)) {
        visit(context, record, &piece);
        (*count)++;
        return;
    }
    while (piece.offset < end) {
        uint64_t next = piece.offset - piece.offset % RECORD_PIECE + RECORD_PIECE;

        next = next < end ? next : end;
        piece.size_bytes = (uint32_t)(next - piece.offset);
        piece.number = (*count)++;
        visit(context, record, &piece);
        piece.offset = next;
    }
}

/* Brings the file's durable image as far forward as every record is durable at `end`. What was
 * applied for a later end may not be durable at this one: then from the beginning. */
static void advance_image(int number, size_t end)
{
    struct file *file = &files[number];

    if (file->image_end > end || file->image_settled >= end) {
        image_copy(&file->image, &file->first);
        file->image_end = file->first_record;
        file->image_settled = 0;
    }
    for (; file->image_end < end; file->image_end++) {
        const struct record *record = &records[file->image_end];

        if (record->file == number && changes_file(record)) {
            if (!durable_at(record, end)) {
                break;
            }
            if (record->settled > file->image_settled) {
                file->image_settled = record->settled;
            }
            apply_whole(&file->image, record);
        }
    }
}

struct build {
    record_choice_fn *choose;
    void *context;
    struct record_image *image;
};

static void decide_piece(void *context, const struct record *record,
                         const struct record_piece *piece)
{
    struct build *build = context;
    unsigned mask = build->choose(build->context, piece);

    if (has_bytes(record)) {
        apply_piece(build->image, record, piece, mask);
    } else if (mask != RECORD_LOSE) {
        apply_whole(build->image, record);
    }
}

size_t recorder_state(size_t end, int file, record_choice_fn *choose, void *context,
                      struct record_image *image)
{
    struct build build = {choose, context, image};
    size_t count = 0;

    ck_assert_int_ge(file, 0);
    ck_assert_uint_lt((size_t)file, files_count);
    ck_assert_uint_le(end, records_count);
    advance_image(file, end);
    image_copy(image, &files[file].image);
    for (size_t i = files[file].image_end; i < end; i++) {
        const struct record *record = &records[i];

        if (record->file == file && changes_file(record)) {
            if (durable_at(record, end)) {
                apply_whole(image, record);
            } else {
                visit_pieces(i, &count, decide_piece, &build);
            }
        }
    }
    return count;
}

struct collect {
    struct record_piece *out;
    size_t max;
};

static void collect_piece(void *context, const struct record *record,
                          const struct record_piece *piece)
{
    struct collect *collect = context;

    (void)record;
    if (piece->number < collect->max) {
        collect->out[piece->number] = *piece;
    }
}

size_t recorder_pieces(size_t end, int file, struct record_piece *pieces_out, size_t max)
{
    struct collect collect = {pieces_out, max};
    size_t count = 0;

    ck_assert_uint_le(end, records_count);
    for (size_t i = 0; i < end; i++) {
        const struct record *record = &records[i];

        if (record->file == file && changes_file(record) && !durable_at(record, end)) {
            visit_pieces(i, &count, collect_piece, &collect);
        }
    }
    return count;
}

/* ---- Choices
 * --------------------------------------------------------------------------------------- */

unsigned record_keep_all(void *context, const struct record_piece *piece)
{
    (void)context;
    (void)piece;
    return RECORD_KEEP;
}

unsigned record_keep_none(void *context, const struct record_piece *piece)
{
    (void)context;
    (void)piece;
    return RECORD_LOSE;
}

unsigned record_all_but_one(void *context, const struct record_piece *piece)
{
    const struct record_one *one = context;

    return piece->number == one->number ? one->mask : RECORD_KEEP;
}

unsigned record_none_but_one(void *context, const struct record_piece *piece)
{
    const struct record_one *one = context;

    return piece->number == one->number ? one->mask : RECORD_LOSE;
}

unsigned record_randomly(void *context, const struct record_piece *piece)
{
    const struct record_random *random = context;
    unsigned dice = (unsigned)rng_below(random->rng, 100);

    (void)piece;
    if (dice < random->lost_percent) {
        return RECORD_LOSE;
    }
    if (dice < random->lost_percent + random->torn_percent) {
        return (unsigned)rng_below(random->rng, 256);
    }
    return RECORD_KEEP;
}

unsigned record_by_bits(void *context, const struct record_piece *piece)
{
    const struct record_subset *subset = context;

    return piece->number < 64 && subset->bits >> piece->number & 1 ? RECORD_KEEP : RECORD_LOSE;
}
