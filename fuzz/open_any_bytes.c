/* SPDX-License-Identifier: MIT */
/*
 * Whatever a file holds: opening, reading, checking, copying, salvaging and changing it returns, and
 * never crashes.
 *
 * Input: a byte that chooses what is damaged and how it is used, then a script of edits (damage.h),
 * or, for the last choice, the file itself.
 *
 *     bits 0..2  which of the databases of base_db.h; 7: the rest of the input is the file
 *     bit  3     checksums are made right again after the damage
 *     bit  4     and page numbers
 *     bit  5     opened for writing
 *     bit  6     with copies
 */
#include "damage.h"
#include "exercise.h"
#include "files.h"

#define WHOLE_FILE 7u
#define BASES BASE_LARGE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct image bases[BASES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    files_make_bases(bases, BASES);
    return 0;
}

static struct image take(unsigned which, const uint8_t *rest, size_t size)
{
    struct image image = {NULL, size, {0}, NULL, false};
    const uint8_t *from = rest;

    if (which != WHOLE_FILE) {
        image.size_bytes = bases[which].size_bytes;
        from = bases[which].bytes;
    }
    image.bytes = malloc(image.size_bytes + 1);
    if (!image.bytes)
        abort();
    memcpy(image.bytes, from, image.size_bytes);
    image_measure(&image);
    if (which != WHOLE_FILE)
        damage_run(&image, rest, size);
    return image;
}

/* Nothing was damaged, so nothing may fail: else this target would prove little. */
static void must_work(const struct exercise_result *result)
{
    if (result->open)
        exercise_fail("a sound file does not open", result->open);
    if (result->check)
        exercise_fail("a sound file is found damaged", result->check);
    if (result->write)
        exercise_fail("a sound file cannot be changed", result->write);
    if (result->close)
        exercise_fail("a sound file cannot be closed", result->close);
}

/* ---- Salvage ---- */

/* Looks at all bytes that it is given. */
static volatile uint8_t salvage_sum;

static void look_at(const struct kv_val *value)
{
    const uint8_t *bytes = value->data;
    uint8_t sum = 0;

    for (size_t i = 0; i < value->size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    salvage_sum = sum;
}

static int salvaged_record(void *context, const struct kv_val *key, const struct kv_val *value,
                           enum kv_salvage_source source)
{
    (void)context;
    (void)source;
    look_at(key);
    look_at(value);
    return 0;
}

static int salvaged_loss(void *context, const struct kv_salvage_loss *loss)
{
    (void)context;
    if (loss->from)
        look_at(loss->from);
    if (loss->to)
        look_at(loss->to);
    return 0;
}

static int salvage_file(const char *path)
{
    struct kv_salvage_options options = {.record = salvaged_record, .loss = salvaged_loss};

    return kv_salvage(path, &options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = size ? data[0] : 0;
    struct image image = take(choice & 7u, data + (size > 0), size - (size > 0));
    struct exercise_result result;
    uint32_t flags = KV_NOLOCK | (choice & 32u ? 0 : KV_READONLY);
    const char *path;
    int salvaged;

    if (choice & 8u) {
        image.identity = (choice & 16u) != 0;
        image_measure(&image);
        image_repair(&image);
    }
    path = files_put(image.bytes, image.size_bytes);
    salvaged = salvage_file(path);
    result = exercise_file(path, flags, (choice & 64u) != 0);
    free(image.bytes);
    if ((choice & 7u) != WHOLE_FILE && size <= DAMAGE_EDIT_BYTES) {
        must_work(&result);
        if (salvaged)
            exercise_fail("a sound file is not salvaged whole", salvaged);
    }
    return 0;
}
