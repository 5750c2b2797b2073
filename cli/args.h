/* SPDX-License-Identifier: MIT */
/* Keys and values given as arguments. */
#ifndef KVCTL_ARGS_H
#define KVCTL_ARGS_H

#include "encode.h"
#include "kv.h"

/* Decodes an argument in place, as the encoding says; `what` names it in the message. The value
 * points into the argument. Returns a status. */
int arg_decode(enum encoding encoding, const char *what, char *arg, struct kv_val *out);

/* Decodes the name of a table in place, always in text spelling. Returns a status. */
int arg_table_name(const char *what, char *arg);

#endif
