/* SPDX-License-Identifier: MIT */
/*
 * Result codes: kv.h's as LMDB's, and LMDB's texts for them, word for word. Also the version, which
 * is that of the <lmdb.h> this was compiled with. Any thread.
 *
 * Codes of kv.h that LMDB has no like of become the errno that says most about them; none is passed
 * through. What LMDB takes from the kernel (positive numbers) stays as it is.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <string.h>

/* Found in the library by whoever wants to know which one it is: scripts/install-lmdb.sh. */
__attribute__((used)) static const char ident[] = "libkv drop-in for LMDB";

KVI_LMDB_API char *mdb_version(int *major, int *minor, int *patch)
{
    static char text[] = MDB_VERSION_STRING;

    if (major)
        *major = MDB_VERSION_MAJOR;
    if (minor)
        *minor = MDB_VERSION_MINOR;
    if (patch)
        *patch = MDB_VERSION_PATCH;
    return text;
}

/* From MDB_KEYEXIST on. */
static const char *const texts[] = {
    "MDB_KEYEXIST: Key/data pair already exists",
    "MDB_NOTFOUND: No matching key/data pair found",
    "MDB_PAGE_NOTFOUND: Requested page not found",
    "MDB_CORRUPTED: Located page was wrong type",
    "MDB_PANIC: Update of meta page failed or environment had fatal error",
    "MDB_VERSION_MISMATCH: Database environment version mismatch",
    "MDB_INVALID: File is not an LMDB file",
    "MDB_MAP_FULL: Environment mapsize limit reached",
    "MDB_DBS_FULL: Environment maxdbs limit reached",
    "MDB_READERS_FULL: Environment maxreaders limit reached",
    "MDB_TLS_FULL: Thread-local storage keys full - too many environments open",
    "MDB_TXN_FULL: Transaction has too many dirty pages - transaction too big",
    "MDB_CURSOR_FULL: Internal error - cursor stack limit reached",
    "MDB_PAGE_FULL: Internal error - page has no more space",
    "MDB_MAP_RESIZED: Database contents grew beyond environment mapsize",
    "MDB_INCOMPATIBLE: Operation and DB incompatible, or DB flags changed",
    "MDB_BAD_RSLOT: Invalid reuse of reader locktable slot",
    "MDB_BAD_TXN: Transaction must abort, has a child, or is invalid",
    "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size",
    "MDB_BAD_DBI: The specified DBI handle was closed/changed unexpectedly",
};

_Static_assert(sizeof(texts) / sizeof(texts[0]) == MDB_LAST_ERRCODE - MDB_KEYEXIST + 1,
               "a text for each code");

KVI_LMDB_API char *mdb_strerror(int err)
{
    if (!err)
        return (char *)"Successful return: 0";
    if (err >= MDB_KEYEXIST && err <= MDB_LAST_ERRCODE)
        return (char *)texts[err - MDB_KEYEXIST];
    return strerror(err);
}

static int result_of(enum kv_error error)
{
    switch (error) {
    case KV_ENOTFOUND:
    case KV_EBADTABLE: /* the handles of kv.h are never closed: this snapshot has no such table */
        return MDB_NOTFOUND;
    case KV_EEXIST:
    case KV_EORDER:
        return MDB_KEYEXIST;
    case KV_ECORRUPT:
        return MDB_CORRUPTED;
    case KV_EVERSION:
        return MDB_VERSION_MISMATCH;
    case KV_ENOTDB:
        return MDB_INVALID;
    case KV_EINCOMPATIBLE:
    case KV_ECOMPARATOR:
        return MDB_INCOMPATIBLE;
    case KV_EINVAL:
        return EINVAL;
    case KV_EBADTXN:
        return MDB_BAD_TXN;
    case KV_EKEYSIZE:
    case KV_EVALSIZE:
    case KV_EMISMATCH:
        return MDB_BAD_VALSIZE;
    case KV_EREADERS:
        return MDB_READERS_FULL;
    case KV_ESIZELIMIT:
        return MDB_MAP_FULL;
    case KV_EBUSY:
        return EBUSY;
    case KV_ETIMEOUT:
        return ETIMEDOUT;
    case KV_EREADONLY:
        return EACCES;
    case KV_EPOISONED:
        return MDB_PANIC;
    case KV_EUNKNOWN:
        return EIO;
    case KV_EFORKED:
        return MDB_BAD_RSLOT;
    case KV_EPAGEFULL:
        return MDB_PAGE_FULL;
    case KV_EUNSUPPORTED:
        return EOPNOTSUPP;
    }
    return EINVAL;
}

int kvi_lmdb_result(int kv_result)
{
    return kv_result >= 0 ? kv_result : result_of((enum kv_error)kv_result);
}

/* Results that say what was asked for is not to be had, and have changed nothing. */
static bool is_refusal(int result)
{
    switch (result) {
    case MDB_KEYEXIST:
    case MDB_NOTFOUND:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
    case MDB_BAD_DBI:
    case MDB_PAGE_FULL:
    case EINVAL:
    case EACCES:
        return true;
    default:
        return false;
    }
}

int kvi_lmdb_changed(MDB_txn *txn, int kv_result)
{
    int rc = kvi_lmdb_result(kv_result);

    if (!rc)
        txn->flags |= KVI_LMDB_TXN_CHANGED;
    else if (!is_refusal(rc))
        txn->flags |= KVI_LMDB_TXN_ERROR;
    return rc;
}
