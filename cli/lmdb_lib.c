/* SPDX-License-Identifier: MIT */
/* Loading the LMDB library; see lmdb_lib.h. */
#include "lmdb_lib.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "status.h"

#define LIB_DEFAULT "liblmdb.so.0"

/* In every drop-in library of libkv, put together here so that kvctl does not hold it too. */
#define DROP_IN_HEAD "libkv drop-in"
#define DROP_IN_TAIL " for LMDB"

struct symbol {
    const char *name;
    void **pointer;
};

/* A pointer to a function, where dlsym's result goes: POSIX has both of one size. */
#define SLOT(function) ((void **)(void *)&(function))

static int find_symbols(struct lmdb_lib *lib, const char *path)
{
    const struct symbol symbols[] = {
        {"mdb_version", SLOT(lib->version)},
        {"mdb_strerror", SLOT(lib->strerror)},
        {"mdb_env_create", SLOT(lib->env_create)},
        {"mdb_env_open", SLOT(lib->env_open)},
        {"mdb_env_close", SLOT(lib->env_close)},
        {"mdb_env_info", SLOT(lib->env_info)},
        {"mdb_env_set_maxdbs", SLOT(lib->env_set_maxdbs)},
        {"mdb_txn_begin", SLOT(lib->txn_begin)},
        {"mdb_txn_abort", SLOT(lib->txn_abort)},
        {"mdb_dbi_open", SLOT(lib->dbi_open)},
        {"mdb_dbi_close", SLOT(lib->dbi_close)},
        {"mdb_dbi_flags", SLOT(lib->dbi_flags)},
        {"mdb_stat", SLOT(lib->stat)},
        {"mdb_cursor_open", SLOT(lib->cursor_open)},
        {"mdb_cursor_close", SLOT(lib->cursor_close)},
        {"mdb_cursor_get", SLOT(lib->cursor_get)},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        *symbols[i].pointer = dlsym(lib->handle, symbols[i].name);
        if (!*symbols[i].pointer)
            return status_failed("%s is no LMDB library: it lacks %s", path, symbols[i].name);
    }
    return STATUS_DONE;
}

/* The interface below was last changed in another way by 0.9's successor. */
static int check_version(const struct lmdb_lib *lib, const char *path)
{
    int major = 0;
    int minor = 0;
    int patch = 0;
    const char *text = lib->version(&major, &minor, &patch);
    if (major != 0 || minor != 9)
        return status_failed("%s is %s, of which this program knows nothing: it wants LMDB 0.9",
                             path, text);
    return STATUS_DONE;
}

static bool holds_drop_in_text(const char *path)
{
    char text[sizeof DROP_IN_HEAD + sizeof DROP_IN_TAIL];
    struct buffer bytes = {0};
    bool held = false;
    FILE *file = fopen(path, "rbe");
    snprintf(text, sizeof text, "%s%s", DROP_IN_HEAD, DROP_IN_TAIL);
    if (file && !buffer_read_all(&bytes, file) && bytes.size)
        held = memmem(bytes.data, bytes.size, text, strlen(text)) != NULL;
    buffer_free(&bytes);
    if (file)
        fclose(file);
    return held;
}

/* Where the library really lies tells which one it is. */
static int refuse_drop_in(const struct lmdb_lib *lib, const char *path)
{
    Dl_info info;
    const char *file =
        dladdr(*SLOT(((struct lmdb_lib *)(uintptr_t)lib)->version), &info) && info.dli_fname
            ? info.dli_fname
            : path;
    if (!holds_drop_in_text(file))
        return STATUS_DONE;
    return status_failed("%s is libkv's own stand-in for LMDB, which cannot read LMDB's files: "
                         "name the genuine library with --library",
                         file);
}

int lmdb_lib_open(struct lmdb_lib *lib, const char *path)
{
    const char *name = path ? path : LIB_DEFAULT;
    *lib = (struct lmdb_lib){.handle = dlopen(name, RTLD_NOW | RTLD_LOCAL)};
    if (!lib->handle)
        return status_failed("cannot load the LMDB library: %s%s", dlerror(),
                             path ? "" : " (Debian has it in liblmdb0; see --library)");
    int status = find_symbols(lib, name);
    if (!status)
        status = refuse_drop_in(lib, name);
    if (!status)
        status = check_version(lib, name);
    return status;
}

void lmdb_lib_close(struct lmdb_lib *lib)
{
    if (lib->handle)
        dlclose(lib->handle);
    lib->handle = NULL;
}
