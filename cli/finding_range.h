/* SPDX-License-Identifier: MIT */
/* Ranges of keys in the output of check and salvage. Single thread. */
#ifndef KVCTL_FINDING_RANGE_H
#define KVCTL_FINDING_RANGE_H

#include "json_out.h"
#include "kv.h"

#define RANGE_BYTES 400 /* room for the texts below */

/* Members "from" and "to" (or from_hex, to_hex), null where the range goes to the table's end. */
void range_json(struct json *json, const struct kv_val *from, const struct kv_val *to);

/* ", keys FROM to TO" in text spelling; the longest part of a key that is shown is some dozen
 * bytes. Returns `text`. */
const char *range_text(const struct kv_val *from, const struct kv_val *to, char *text, size_t size);

/* ", key KEY", likewise. */
const char *key_text(const struct kv_val *key, char *text, size_t size);

#endif
