/* SPDX-License-Identifier: MIT */
/*
 * A recording of all that was done to files through the os table, from which the states are made
 * that a power cut could leave on disk.
 *
 * fault_os.c writes it: every write, truncate, punch, allocation, flush, and every name given or
 * taken, in order, with the bytes. A state is made of the first `end` records and one decision for
 * every piece that no successful flush had covered by then: the disk may have it, or not, or some
 * of its sectors.
 *
 *      records:   w0 w1 F w2 w3 w4 | w5 ...         F covers w0 and w1; end = 6
 *                 [durable] [a piece each: any subset, torn at 512 bytes]
 *
 * - A write is cut into pieces at 4096-byte boundaries of the file (the kernel writes back by
 * page), a piece has a mask of its sectors of 512 bytes. Any subset is allowed: the kernel promises
 * no order.
 * - Pieces that are kept are applied in the order of the records. A kept piece past the end of the
 *   file makes the file longer, also where the truncate that made room was lost.
 * - After a flush that FAILED, the pieces that were pending are in doubt for ever: the kernel calls
 *   their pages clean, so no later flush covers them (they may still be kept, by choice).
 * - A file that exists when it is first opened counts as wholly on disk with what it holds then.
 * - Stores through the writer's mapping are seen where the os table makes them. The kernel may write a
 *   page back while it is being stored, so one that is torn is torn within a sector as well: words of 8
 *   bytes, any of them. Stores of the library's own code, in its lock file only, are not seen.
 *
 * Files are numbered from 0 in the order of first use, by inode, so a file that is made nameless or
 * under a temporary name is the same file after it got its name. The recording grows in memory and
 * ends with recorder_reset. Recording is safe from many threads; the functions that make states are
 * for one.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness.h"

#define RECORD_SECTOR 512u
#define RECORD_PIECE 4096u
#define RECORD_KEEP 0xffffffffu /* a choice: all sectors, or: yes, the truncate happened */
#define RECORD_LOSE 0u

enum record_kind {
    RECORD_WRITE,        /* file, offset, size_bytes, data */
    RECORD_STORE,        /* the same through a writable mapping: torn within a sector too */
    RECORD_TRUNCATE,     /* file, size_bytes: the new size */
    RECORD_ALLOCATE,     /* file, offset, size_bytes: at least so long, new bytes zero */
    RECORD_PUNCH,        /* file, offset, size_bytes: zeros */
    RECORD_FLUSH,        /* file, offset: records below this number are covered */
    RECORD_FLUSH_FAILED, /* file, offset: those still pending below it are in doubt for ever */
    RECORD_LINK,         /* file, path: has this name from here on */
    RECORD_UNLINK,       /* path */
    RECORD_RENAME,       /* path to path_to, in one step */
    RECORD_DIR_FLUSH,    /* path of the folder, offset as with FLUSH: names in it are durable */
    RECORD_MARK          /* offset: the caller's number */
};

struct record {
    enum record_kind kind;
    int file; /* -1: no file of the recording */
    uint64_t offset;
    uint64_t size_bytes;
    uint8_t *data;
    char *path;
    char *path_to;
    size_t settled; /* number of the flush that made it durable; SIZE_MAX: none did */
};

/* Something that no flush covered. */
struct record_piece {
    size_t number; /* counted from 0 in this state */
    size_t record; /* it comes from */
    enum record_kind kind;
    uint64_t offset;
    uint32_t size_bytes; /* of a write: 1 ... 4096, else 0 */
};

/* What became of a piece: a bit for each 512-byte sector of a write, from the lowest offset; for
 * other kinds 0 or not. */
typedef unsigned record_choice_fn(void *context, const struct record_piece *piece);

/* ---- The recording -----------------------------------------------------------------------------
 */

/* Forgets everything. Recording is switched by fault_record. */
void recorder_reset(void);

size_t recorder_count(void);
const struct record *recorder_get(size_t number);

/* Adds a mark: so many commits had returned here. Returns its number. */
size_t recorder_mark(uint64_t value);

/* The value of the last mark among the first `end` records; `none` if there is none. */
uint64_t recorder_last_mark(size_t end, uint64_t none);

/* The file that has this name after `end` records, -1: none, or it is not of the recording.
 * durable_out (may be NULL): the folder was flushed since; if not, a crash may leave the name as it
 * was before. */
int recorder_file_at(size_t end, const char *path, bool *durable_out);

/* ---- States ------------------------------------------------------------------------------------
 */

/* A file's bytes. Zero-initialise; release with record_image_release; made for being used again. */
struct record_image {
    uint8_t *data;
    size_t size_bytes;
    size_t capacity;
};

/* The state of `file` after a power cut behind the first `end` records. Cheap when `end` rises from
 * call to call. Returns the number of pieces that were decided. */
size_t recorder_state(size_t end, int file, record_choice_fn *choose, void *context,
                      struct record_image *image);

/* The pieces that are open in that state; at most `max` are stored. Returns how many there are. */
size_t recorder_pieces(size_t end, int file, struct record_piece *pieces_out, size_t max);

void record_image_write(const struct record_image *image, const char *path);
void record_image_release(struct record_image *image);

/* ---- Choices ------------------------------------------------------------------------------------
 */

unsigned record_keep_all(void *context, const struct record_piece *piece); /* a killed process */
unsigned record_keep_none(void *context,
                          const struct record_piece *piece); /* nothing written back */

/* Keeps all, or none, but the piece of this number, which becomes `mask`. */
struct record_one {
    size_t number;
    unsigned mask;
};
unsigned record_all_but_one(void *context, const struct record_piece *piece);
unsigned record_none_but_one(void *context, const struct record_piece *piece);

/* Each piece by chance: lost, torn (a random mask), or kept. */
struct record_random {
    struct rng *rng;
    unsigned lost_percent;
    unsigned torn_percent;
};
unsigned record_randomly(void *context, const struct record_piece *piece);

/* Keeps the pieces whose bit is set in `bits` (piece 0 is bit 0): all 2^n subsets by counting. */
struct record_subset {
    uint64_t bits;
};
unsigned record_by_bits(void *context, const struct record_piece *piece);

/* ---- For fault_os.c, which keeps one lock around each call and its note
 * ----------------------------- */

void recorder_see(int fd); /* before a call: takes in what the file holds, if it is new here */
void recorder_note_open(int fd);  /* after it */
void recorder_note_close(int fd); /* before it */
void recorder_note_write(int fd, const void *data, uint64_t size_bytes, uint64_t offset);
void recorder_note_store(int fd, const void *data, uint64_t size_bytes, uint64_t offset);
void recorder_note_range(int fd, enum record_kind kind, uint64_t offset, uint64_t size_bytes);
void recorder_note_flush(int fd, size_t begun, bool failed); /* begun: recorder_count before it */
int recorder_file_of(const char *path, int fd); /* path NULL: by fd; -1: none of the recording */
void recorder_note_link(int file, const char *to);
void recorder_note_unlink(int file, const char *path); /* file: as found before the call */
void recorder_note_rename(int file, const char *from, const char *to);

#endif
