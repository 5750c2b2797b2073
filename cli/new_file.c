/* SPDX-License-Identifier: MIT */
/* Databases that appear whole; see new_file.h. */
#include "new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status.h"

int new_file_temporary(const char *target, struct buffer *name)
{
    uint64_t number;
    char tail[32];
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        number = (uint64_t)getpid();
    snprintf(tail, sizeof tail, ".%016" PRIx64 ".tmp", number);
    if (buffer_set(name, target, strlen(target)) || buffer_add(name, tail, strlen(tail) + 1))
        return status_failed("out of memory");
    return STATUS_DONE;
}

/* Gives the file its name, unless something has it. */
static int give_name(const char *temporary, const char *target)
{
    if (!renameat2(AT_FDCWD, temporary, AT_FDCWD, target, RENAME_NOREPLACE))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (link(temporary, target))
        return errno;
    return unlink(temporary) ? errno : 0;
}

/* Makes the new name durable. */
static int flush_folder(const char *target)
{
    struct buffer folder = {0};
    const char *slash = strrchr(target, '/');
    size_t size = slash ? (size_t)(slash + 1 - target) : 0;
    if (buffer_set(&folder, size ? target : ".", size ? size : 1) || buffer_add(&folder, "", 1))
        return ENOMEM;
    int fd = open(folder.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || (fsync(fd) && errno != EINVAL) ? errno : 0;
    if (fd >= 0)
        close(fd);
    buffer_free(&folder);
    return rc;
}

int new_file_publish(const char *temporary, const char *target)
{
    int rc = give_name(temporary, target);
    if (!rc)
        rc = flush_folder(target);
    return rc ? status_of(rc, "cannot make %s", target) : STATUS_DONE;
}

int new_file_check(const char *target)
{
    struct stat st;
    if (!lstat(target, &st))
        return status_of(EEXIST, "cannot make %s", target);
    return errno == ENOENT ? STATUS_DONE : status_of(errno, "cannot make %s", target);
}
