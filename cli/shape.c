/* SPDX-License-Identifier: MIT */
/* Tables' kinds as words; see shape.h. */
#include "shape.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

static const char *const order_names[] = {
    [KV_ORDER_BYTES] = "bytes",
    [KV_ORDER_REVERSE] = "reverse",
    [KV_ORDER_UINT] = "uint",
    [KV_ORDER_CUSTOM] = "custom",
};

int shape_take_order(const char *option, const char *arg, enum kv_order *order_out)
{
    for (int order = KV_ORDER_BYTES; order <= KV_ORDER_UINT; order++) {
        if (!strcmp(arg, order_names[order])) {
            *order_out = (enum kv_order)order;
            return STATUS_DONE;
        }
    }
    return status_usage("--%s: '%s' is none of bytes, reverse, uint", option, arg);
}

const char *shape_order_name(enum kv_order order)
{
    return order_names[order];
}

bool shape_is_plain(const struct kv_table_options *options)
{
    return !options->flags && options->order == KV_ORDER_BYTES && !options->align;
}

/* ---- Description ---- */

struct words {
    char *text;
    size_t size;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *format, ...)
{
    size_t room = words->size - words->used;
    va_list args;
    if (words->used)
        snprintf(words->text + words->used, room, ", ");
    words->used = strlen(words->text);
    va_start(args, format);
    vsnprintf(words->text + words->used, words->size - words->used, format, args);
    va_end(args);
    words->used = strlen(words->text);
}

static void add_order(struct words *words, const char *what, enum kv_order order, const char *name)
{
    if (order == KV_ORDER_CUSTOM)
        add(words, "%s custom %s", what, name ? name : "?");
    else if (order != KV_ORDER_BYTES)
        add(words, "%s %s", what, shape_order_name(order));
}

const char *shape_describe(const struct kv_table_options *options, char *text, size_t size)
{
    struct words words = {text, size, 0};
    text[0] = 0;
    if (options->flags & KV_DUPLICATES)
        add(&words, "duplicates");
    else if (options->flags & KV_COUNTED)
        add(&words, "counted");
    if (options->flags & KV_FIXED && options->value_bytes)
        add(&words, "fixed %u", options->value_bytes);
    else if (options->flags & KV_FIXED)
        add(&words, "fixed");
    if (options->align)
        add(&words, "align %u", options->align);
    add_order(&words, "order", options->order, options->comparator);
    add_order(&words, "value order", options->value_order, options->value_comparator);
    return text;
}

/* ---- Headers of dumps ---- */

/* What a header word sets. The orders of LMDB's words are those of kv.h. */
static const struct {
    const char *word;
    uint32_t flags;
    enum kv_order order;
    enum kv_order value_order;
} header_words[] = {
    {"dupsort", KV_DUPLICATES, KV_ORDER_BYTES, KV_ORDER_BYTES},
    {"dupfixed", KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES, KV_ORDER_BYTES},
    {"integerdup", KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES, KV_ORDER_UINT},
    {"reversedup", KV_DUPLICATES, KV_ORDER_BYTES, KV_ORDER_REVERSE},
    {"integerkey", 0, KV_ORDER_UINT, KV_ORDER_BYTES},
    {"reversekey", 0, KV_ORDER_REVERSE, KV_ORDER_BYTES},
    {"counted", KV_COUNTED, KV_ORDER_BYTES, KV_ORDER_BYTES},
    {"duplicates", KV_DUPLICATES, KV_ORDER_BYTES, KV_ORDER_BYTES},
};

#define HEADER_WORDS (sizeof header_words / sizeof header_words[0])

/* Of a word that another implies only the other is written: mdb_load knows them all but the last
 * two, and warns of those. */
static bool word_applies(size_t i, const struct kv_table_options *options)
{
    uint32_t flags = header_words[i].flags;
    if (!strcmp(header_words[i].word, "duplicates"))
        return false;
    if (flags == KV_COUNTED)
        return (options->flags & KV_COUNTED) && !(options->flags & KV_DUPLICATES);
    if ((options->flags & flags) != flags)
        return false;
    if (header_words[i].order != KV_ORDER_BYTES)
        return options->order == header_words[i].order;
    return header_words[i].value_order == KV_ORDER_BYTES ||
           options->value_order == header_words[i].value_order;
}

void shape_header_words(const struct kv_table_options *options, void (*write)(const char *word))
{
    for (size_t i = 0; i < HEADER_WORDS; i++) {
        if (word_applies(i, options))
            write(header_words[i].word);
    }
}

bool shape_take_header(const char *name, size_t name_size, const char *value,
                       struct kv_table_options *options)
{
    if (name_size == 5 && !memcmp(name, "align", 5)) {
        options->align = (uint32_t)strtoul(value, NULL, 10);
        return true;
    }
    for (size_t i = 0; i < HEADER_WORDS; i++) {
        if (strlen(header_words[i].word) != name_size ||
            memcmp(header_words[i].word, name, name_size) != 0)
            continue;
        if (!strcmp(value, "0"))
            return true;
        options->flags |= header_words[i].flags;
        if (header_words[i].order != KV_ORDER_BYTES)
            options->order = header_words[i].order;
        if (header_words[i].value_order != KV_ORDER_BYTES)
            options->value_order = header_words[i].value_order;
        return true;
    }
    return false;
}
