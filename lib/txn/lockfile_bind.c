/* SPDX-License-Identifier: MIT */
/*
 * Owns what the lock file is bound to: which data file, which boot, which epoch; when it is made
 * anew; and whether both files are still those that are open (docs/LOCKFILE.md sections 2 and 3).
 *
 * kvi_bind is called once, with the opening lock held. Nothing is changed in a lock file whose
 * users live. kvi_lockfile_intact may be called by any thread.
 */
#include "txn/lockfile_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "format/meta.h"
#include "kv.h"

#define NS_PER_MS 1000000ull
#define INTACT_MS 50u /* how long a look at both files is good for */

/* ---- File systems ---- */

/* f_type of file systems where another machine, or a daemon, stands between users of the same file.
 */
static const uint32_t foreign_magic[] = {
    0x6969,     /* nfs */
    0x517b,     /* smb */
    0xff534d42, /* cifs */
    0xfe534d42, /* smb2 */
    0x65735546, /* fuse, virtiofs */
    0x01021997, /* 9p */
    0x00c36400, /* ceph */
    0x5346414f, /* openafs */
    0x6b414653, /* kafs */
    0x73757245, /* coda */
    0x564c,     /* ncp */
    0x01161970, /* gfs2 */
    0x7461636f, /* ocfs2 */
    0x0bd00bd0, /* lustre */
    0x47504653, /* gpfs */
    0xaad7aaea, /* panfs */
    0x20030528, /* orangefs */
    0x19830326, /* beegfs */
    0x786f4256, /* vboxsf */
    0xbacbacbc, /* vmhgfs */
};
#define OVERLAY_MAGIC 0x794c7630u

/* A lock tells how a descriptor was opened: EBADF for reading only. */
static int ask_writable(const struct kvi_bound_file *file)
{
    int rc = kvi_os->lock(file->fd, KVI_OS_LOCK_WRITE, KVI_DATA_PROBE, 1);

    if (rc == 0)
        rc = kvi_os->lock(file->fd, KVI_OS_UNLOCK, KVI_DATA_PROBE, 1);
    return rc == EAGAIN ? 0 : rc; /* somebody else asks at this moment: it could be asked for */
}

/* A descriptor that was opened for reading only may show overlay's lower file, which writers never
 * change: they get a copy. */
static int overlay_upper(const struct kvi_lockfile *lockfile, const struct kvi_bound_file *file)
{
    bool told = lockfile->data_unlocked && file == &lockfile->data;
    int rc = !told ? ask_writable(file) : lockfile->data_writable ? 0 : EBADF;

    if (rc == EBADF)
        return kvi_error(KV_EUNSUPPORTED,
                         "%s: on overlay, and not writable: writers may see another file",
                         file->path);
    return rc;
}

static int file_supported(const struct kvi_lockfile *lockfile, const struct kvi_bound_file *file)
{
    int64_t type = 0;
    int rc = kvi_os->fs_type(file->fd, &type);

    if (rc)
        return kvi_error(rc, "%s: %s", file->path, kvi_strerror(rc));
    for (size_t i = 0; i < sizeof(foreign_magic) / sizeof(foreign_magic[0]); i++)
        if ((uint32_t)type == foreign_magic[i])
            return kvi_error(KV_EUNSUPPORTED, "%s: file system of type %#x cannot be shared",
                             file->path, foreign_magic[i]);
    return (uint32_t)type == OVERLAY_MAGIC ? overlay_upper(lockfile, file) : 0;
}

int kvi_bind_supported(struct kvi_lockfile *lockfile)
{
    int rc = file_supported(lockfile, &lockfile->data);

    return rc ? rc : file_supported(lockfile, &lockfile->lock);
}

/* ---- The head ---- */

static uint64_t head_epoch(const struct kvi_lockfile *lockfile)
{
    return atomic_load_explicit(&lockfile->head->epoch, memory_order_relaxed);
}

static bool head_layout_ours(const struct kvi_lock_head *head)
{
    return atomic_load_explicit(&head->magic, memory_order_acquire) == KVI_LOCK_MAGIC &&
           head->version == KVI_LOCK_VERSION && head->process_slots == KVI_CHUNK_PROCESSES &&
           head->reader_slots == KVI_CHUNK_READERS && head->chunk_bytes == KVI_CHUNK_BYTES;
}

static bool head_data_ours(const struct kvi_lockfile *lockfile)
{
    const struct kvi_lock_head *head = lockfile->head;

    return memcmp(head->file_id, lockfile->file_id, sizeof(head->file_id)) == 0 &&
           head->data_dev == lockfile->data.dev && head->data_inode == lockfile->data.inode;
}

/* Where the kernel tells no boot id, no two boots are the same. */
static bool head_boot_known(const struct kvi_lockfile *lockfile)
{
    static const uint8_t unknown[sizeof(lockfile->boot_id)];

    return memcmp(lockfile->boot_id, unknown, sizeof(unknown)) != 0;
}

static bool head_ours(const struct kvi_lockfile *lockfile)
{
    return head_layout_ours(lockfile->head) && head_data_ours(lockfile) &&
           memcmp(lockfile->head->boot_id, lockfile->boot_id, sizeof(lockfile->boot_id)) == 0;
}

static void head_rebuild(struct kvi_lockfile *lockfile)
{
    struct kvi_lock_head *head = lockfile->head;

    atomic_store_explicit(&head->magic, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    memset(lockfile->base, 0, KVI_LOCK_HEAD_BYTES);
    head->version = KVI_LOCK_VERSION;
    head->process_slots = KVI_CHUNK_PROCESSES;
    head->reader_slots = KVI_CHUNK_READERS;
    head->chunk_bytes = KVI_CHUNK_BYTES;
    atomic_store_explicit(&head->epoch, lockfile->epoch, memory_order_relaxed);
    memcpy(head->boot_id, lockfile->boot_id, sizeof(head->boot_id));
    memcpy(head->file_id, lockfile->file_id, sizeof(head->file_id));
    head->data_dev = lockfile->data.dev;
    head->data_inode = lockfile->data.inode;
    atomic_store_explicit(&head->magic, KVI_LOCK_MAGIC, memory_order_release);
}

/* ---- The epoch's byte on the data file ---- */

/* Whether anybody lives by another lock file. They hold read locks, so we ask as a writer would.
 * Not asked by who may not lock there: then locks of any kind may stand on these bytes. */
static int foreign_epoch(const struct kvi_lockfile *lockfile, bool *foreign_out)
{
    uint64_t own = kvi_epoch_byte(lockfile->epoch);
    uint64_t end = KVI_LOCK_BASE + KVI_DATA_EPOCHS;
    int rc = 0;

    *foreign_out = false;
    if (lockfile->data_unlocked)
        return 0;
    if (own > KVI_LOCK_BASE)
        rc = kvi_os->lock_probe(lockfile->data.fd, KVI_OS_LOCK_WRITE, KVI_LOCK_BASE,
                                own - KVI_LOCK_BASE, foreign_out);
    if (!rc && !*foreign_out && own + 1 < end)
        rc = kvi_os->lock_probe(lockfile->data.fd, KVI_OS_LOCK_WRITE, own + 1, end - own - 1,
                                foreign_out);
    return rc ? kvi_error(rc, "%s: %s", lockfile->data.path, kvi_strerror(rc)) : 0;
}

/* Through a description of its own, which then only a mapping holds. */
static int hold_epoch(struct kvi_lockfile *lockfile)
{
    int fd = -1;
    int rc;

    if (lockfile->data_unlocked)
        return 0;
    kvi_fork_enter();
    rc = kvi_fork_reopen(&lockfile->data, O_RDONLY, &fd);
    if (!rc) {
        rc = kvi_os->lock(fd, KVI_OS_LOCK_READ, kvi_epoch_byte(lockfile->epoch), 1);
        if (rc)
            (void)kvi_os->close(fd);
        else
            rc = kvi_fork_hold(fd, &lockfile->data_hold);
    }
    kvi_fork_leave();
    if (rc == EAGAIN)
        return kvi_error(KV_EBUSY, "%s: another program holds a lock on the whole file",
                         lockfile->data.path);
    return rc;
}

/* Looks before it locks, so that one who is refused is not itself taken for a foreign user, and
 * once more after, since two may come at once. */
static int enter_epoch(struct kvi_lockfile *lockfile)
{
    bool foreign = false;
    int rc = foreign_epoch(lockfile, &foreign);

    if (!rc && !foreign) {
        rc = hold_epoch(lockfile);
        if (!rc)
            rc = foreign_epoch(lockfile, &foreign);
    }
    if (!rc && foreign)
        rc = kvi_error(KV_EBUSY, "%s: in use with another lock file than %s", lockfile->data.path,
                       lockfile->lock.path);
    return rc;
}

/* ---- Binding ---- */

static int bind_joining(struct kvi_lockfile *lockfile)
{
    bool exclusive = false;
    int rc = kvi_table_refresh(lockfile);

    if (rc)
        return rc;
    if (!head_layout_ours(lockfile->head))
        return kvi_error(KV_EBUSY, "%s: in use, by another version or damaged",
                         lockfile->lock.path);
    if (!head_data_ours(lockfile))
        return kvi_error(KV_EBUSY, "%s: in use for another data file than %s", lockfile->lock.path,
                         lockfile->data.path);
    if (!head_ours(lockfile))
        return kvi_error(KV_EBUSY, "%s: in use, and damaged", lockfile->lock.path);
    if (lockfile->exclusive)
        return kvi_error(KV_EBUSY, "%s: in use, and is to be opened exclusively",
                         lockfile->data.path);
    rc = kvi_process_exclusive(lockfile, &exclusive);
    if (!rc && exclusive)
        rc = kvi_error(KV_EBUSY, "%s: opened exclusively by another", lockfile->data.path);
    if (rc)
        return rc;
    lockfile->epoch = head_epoch(lockfile);
    return enter_epoch(lockfile);
}

/* Nobody lives: one chunk of zeros, wholly allocated. Of the head nothing is lost by that. */
static int clear_tables(struct kvi_lockfile *lockfile)
{
    uint64_t bytes = KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES;
    int rc = kvi_os->truncate(lockfile->lock.fd, KVI_LOCK_HEAD_BYTES);

    if (!rc)
        rc = kvi_os->allocate(lockfile->lock.fd, 0, bytes);
    if (rc)
        return kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc));
    atomic_store_explicit(&lockfile->chunks, 0, memory_order_relaxed);
    return kvi_table_refresh(lockfile);
}

/* A new epoch each time: a lock file that was copied from one in use must not look like that one.
 */
static int bind_first(struct kvi_lockfile *lockfile, bool *boot_same_out)
{
    struct kvi_lock_head *head = lockfile->head;
    int rc = kvi_os->random(&lockfile->epoch, sizeof(lockfile->epoch));

    if (!rc)
        rc = enter_epoch(lockfile);
    if (!rc)
        rc = clear_tables(lockfile);
    if (rc)
        return rc;
    *boot_same_out = head_boot_known(lockfile) && head_ours(lockfile) &&
                     atomic_load_explicit(&head->shared.ready, memory_order_acquire) != 0;
    if (!*boot_same_out) {
        head_rebuild(lockfile);
        return 0;
    }
    for (unsigned i = 0; i < KVI_GATES; i++)
        atomic_store_explicit(&head->gates[i].wanted_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&head->shared.readers_cleared, 0, memory_order_relaxed);
    atomic_store_explicit(&head->epoch, lockfile->epoch, memory_order_release);
    return 0;
}

int kvi_bind(struct kvi_lockfile *lockfile, bool *first_out, bool *boot_same_out)
{
    bool others = false;
    int rc = kvi_os->boot_id(lockfile->boot_id);

    if (!rc)
        rc = kvi_process_others(lockfile, &others);
    if (rc)
        return rc;
    *first_out = !others;
    return others ? bind_joining(lockfile) : bind_first(lockfile, boot_same_out);
}

/* ---- Intact ---- */

/* No file at the path is no harm by itself: it was renamed, or we changed root. Nobody gets at the
 * data by another lock file without meeting our epoch. */
static int file_in_place(const struct kvi_bound_file *file, bool may_be_deleted)
{
    struct kvi_os_stat st;
    int rc = kvi_os->stat_fd(file->fd, &st);

    if (rc)
        return kvi_error(rc, "%s: %s", file->path, kvi_strerror(rc));
    if (st.links == 0 && !may_be_deleted)
        return kvi_error(KV_EBUSY, "%s: deleted or replaced while in use", file->path);
    rc = kvi_os->stat_path(file->path, &st);
    if (rc)
        return 0;
    if (st.dev != file->dev || st.inode != file->inode)
        return kvi_error(KV_EBUSY, "%s: replaced by another file while in use", file->path);
    return 0;
}

/* With an unlocked data file (for programs that expect no more than LMDB does) a lock file may be
 * deleted until somebody makes another; and once the data file is, nobody new gets at it by any. */
static bool data_deleted(const struct kvi_lockfile *lockfile)
{
    struct kvi_os_stat st;

    return lockfile->data_unlocked && !kvi_os->stat_fd(lockfile->data.fd, &st) && st.links == 0;
}

static int lock_in_place(struct kvi_lockfile *lockfile, bool alone)
{
    int rc = alone ? 0 : file_in_place(&lockfile->lock, lockfile->data_unlocked);

    if (!rc)
        rc = kvi_table_refresh(lockfile);
    if (rc)
        return rc;
    if (!head_ours(lockfile) || head_epoch(lockfile) != lockfile->epoch)
        return kvi_error(KV_EBUSY, "%s: written over while in use", lockfile->lock.path);
    return 0;
}

/* Another database's bytes in our file; whatever else may have happened to it, its pages tell. */
static int data_in_place(struct kvi_lockfile *lockfile)
{
    static const uint64_t offsets[2] = {0, KVI_META_SLOT_1_OFFSET};
    unsigned foreign = 0;
    int rc = file_in_place(&lockfile->data, false);

    if (rc)
        return rc;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t bytes[KVI_META_BYTES];
        struct kvi_meta meta;
        size_t got = 0;

        rc = kvi_os->read_at(lockfile->data.fd, bytes, sizeof(bytes), offsets[i], &got);
        if (rc)
            return kvi_error(rc, "%s: %s", lockfile->data.path, kvi_strerror(rc));
        if (got < sizeof(bytes) || kvi_meta_decode(bytes, &meta) != KVI_META_OK)
            continue;
        if (memcmp(meta.file_id, lockfile->file_id, sizeof(meta.file_id)) == 0)
            return 0;
        foreign++;
    }
    return foreign ? kvi_error(KV_EBUSY, "%s: another database was copied over it while in use",
                               lockfile->data.path)
                   : 0;
}

static int look_at_files(struct kvi_lockfile *lockfile)
{
    bool alone = data_deleted(lockfile);
    bool foreign = false;
    int rc = lock_in_place(lockfile, alone);

    if (rc || alone)
        return rc;
    rc = data_in_place(lockfile);
    if (!rc)
        rc = foreign_epoch(lockfile, &foreign);
    if (!rc && foreign)
        rc = kvi_error(KV_EBUSY, "%s: somebody opened it with another lock file than %s",
                       lockfile->data.path, lockfile->lock.path);
    return rc;
}

/* Only a good result is remembered. */
int kvi_lockfile_intact(struct kvi_lockfile *lockfile)
{
    uint64_t checked = atomic_load_explicit(&lockfile->checked_ns, memory_order_relaxed);
    uint64_t now;
    int rc;

    if (lockfile->without_file)
        return 0;
    now = kvi_os->monotonic_ns();
    if (checked && now - checked < INTACT_MS * NS_PER_MS)
        return 0;
    rc = look_at_files(lockfile);
    atomic_store_explicit(&lockfile->checked_ns, rc ? 0 : now, memory_order_relaxed);
    return rc;
}
