/* SPDX-License-Identifier: MIT */
/* Salvaged records on their way out; see salvage_sink.h. */
#include "salvage_sink.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dump_header.h"
#include "encode.h"
#include "new_file.h"
#include "out.h"
#include "record_out.h"
#include "status.h"

/* ---- Dump ---- */

static void end_section(struct salvage_sink *sink)
{
    if (sink->in_table)
        dump_footer_out();
    sink->in_table = false;
}

static enum encoding dump_encoding(const struct salvage_sink *sink)
{
    return sink->print ? ENCODING_PRINT : ENCODING_HEX;
}

static int dump_table(struct salvage_sink *sink, const char *name,
                      const struct kv_salvage_table *table)
{
    end_section(sink);
    if (name && strchr(name, '\n')) {
        message("table %s: a name with a newline has no place in a dump: not written", name);
        return STATUS_NEGATIVE;
    }
    dump_header_out(dump_encoding(sink), name, table->options, 0);
    sink->in_table = true;
    return STATUS_DONE;
}

static void dump_record(const struct salvage_sink *sink, const struct kv_val *key,
                        const struct kv_val *value)
{
    struct record_style style = {.format = RECORDS_DUMP, .encoding = dump_encoding(sink)};
    record_out(&style, key, value);
}

/* ---- New database ---- */

/* Its permissions are those of the damaged one, so that nobody can read it who could not before. */
static int open_new(struct salvage_sink *sink, uint32_t page_size)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct stat st;
    int status = new_file_temporary(sink->target, &sink->temporary);
    if (status)
        return status;
    sink->building = *sink->common;
    sink->building.path = sink->temporary.data;
    sink->session = (struct session){.common = &sink->building};
    options.flags = KV_CREATE | KV_NOLOCK;
    options.page_size = sink->common->page_size ? sink->common->page_size : page_size;
    options.max_size_bytes = sink->common->max_size_bytes;
    options.mode = S_IRUSR | S_IWUSR;
    if (!stat(sink->common->path, &st))
        options.mode |= st.st_mode & 0777;
    int rc = kv_env_open(sink->building.path, &options, &sink->session.env);
    return rc ? status_of(rc, "cannot make %s", sink->target) : session_begin_write(&sink->session);
}

static int end_bulk(struct salvage_sink *sink)
{
    struct kv_bulk *bulk = sink->bulk;
    sink->bulk = NULL;
    int rc = bulk ? kv_bulk_end(bulk) : 0;
    return rc ? status_of(rc, "cannot complete a table") : STATUS_DONE;
}

static int make_table(struct salvage_sink *sink, const char *name,
                      const struct kv_salvage_table *table)
{
    struct session *session = &sink->session;
    uint64_t sequence;
    int rc = kv_table_open(session->txn, name, KV_CREATE, table->options, &session->table);
    if (rc == KV_ECOMPARATOR || rc == KV_EINCOMPATIBLE || rc == KV_EKEYSIZE || rc == KV_EINVAL) {
        message("table %s cannot be made here (%s): not written; a dump holds it",
                session_table_name(name), kv_strerror(rc));
        return STATUS_NEGATIVE;
    }
    if (!rc && table->sequence)
        rc = kv_sequence(session->txn, session->table, table->sequence, &sequence);
    if (!rc)
        rc = kv_bulk_begin(session->txn, session->table, 0, &sink->bulk);
    return rc ? status_of(rc, "cannot make table %s", session_table_name(name)) : STATUS_DONE;
}

static int put_record(struct salvage_sink *sink, const struct kv_val *key,
                      const struct kv_val *value)
{
    int rc = kv_bulk_put(sink->bulk, key, value, 0);
    if (rc == KV_EKEYSIZE || rc == KV_EVALSIZE || rc == KV_EINCOMPATIBLE)
        return STATUS_NEGATIVE;
    return rc ? status_of(rc, "cannot put into %s", sink->target) : STATUS_DONE;
}

/* Nothing else of this process has the file open: closing is what flushes it. */
static int end_new(struct salvage_sink *sink, int status)
{
    int ended = end_bulk(sink);
    status = status ? status : ended;
    if (!status && sink->session.txn)
        status = session_commit(&sink->session);
    status = session_close(&sink->session, status);
    if (!status && sink->temporary.data)
        status = new_file_publish(sink->temporary.data, sink->target);
    if (status && sink->temporary.data)
        (void)unlink(sink->temporary.data);
    buffer_free(&sink->temporary);
    return status;
}

/* ---- Both ---- */

int salvage_sink_table(struct salvage_sink *sink, const char *name,
                       const struct kv_salvage_table *table)
{
    if (!sink->target)
        return dump_table(sink, name, table);
    int status = end_bulk(sink);
    if (!status && !sink->session.env)
        status = open_new(sink, table->page_size);
    return status ? status : make_table(sink, name, table);
}

int salvage_sink_record(struct salvage_sink *sink, const struct kv_val *key,
                        const struct kv_val *value)
{
    if (sink->target)
        return put_record(sink, key, value);
    dump_record(sink, key, value);
    return out_broken() ? STATUS_FAILED : STATUS_DONE;
}

int salvage_sink_end(struct salvage_sink *sink, int status)
{
    if (sink->target)
        return end_new(sink, status);
    end_section(sink);
    return status;
}
