/* SPDX-License-Identifier: MIT */
/* Checked, buffered stdout; see out.h. */
#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status.h"

static char out_buffer[1 << 16];
static int out_error;       /* errno of the first write that failed, or 0 */
static bool sigpipe_wanted; /* SIGPIPE had its default action when we started */

/* A descriptor 0, 1 or 2 that is closed would be given to the next file that is opened, the
 * database, which messages or data would then be written into. Reading or writing the stand-in
 * fails or gives nothing. */
static void occupy_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDONLY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

void out_init(void)
{
    occupy_standard_descriptors();
    struct sigaction old;
    if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL) {
        sigpipe_wanted = true;
        signal(SIGPIPE, SIG_IGN);
    }
    setvbuf(stdout, out_buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, sizeof out_buffer);
}

void out_note_error(int error)
{
    if (!out_error)
        out_error = error ? error : EIO;
}

void out_bytes(const void *bytes, size_t size)
{
    if (size && !out_error && fwrite_unlocked(bytes, 1, size, stdout) != size)
        out_note_error(errno);
}

void out_byte(char byte)
{
    if (!out_error && putc_unlocked(byte, stdout) == EOF)
        out_note_error(errno);
}

void out_text(const char *text)
{
    out_bytes(text, strlen(text));
}

void out_format(const char *format, ...)
{
    if (out_error)
        return;
    va_list args;
    va_start(args, format);
    if (vprintf(format, args) < 0)
        out_note_error(errno);
    va_end(args);
}

bool out_broken(void)
{
    return out_error != 0;
}

bool out_is_file(void)
{
    struct stat st;
    return !fstat(STDOUT_FILENO, &st) && S_ISREG(st.st_mode);
}

int out_finish(int status)
{
    if (fclose(stdout))
        out_note_error(errno);
    if (!out_error)
        return status;
    if (out_error == EPIPE && sigpipe_wanted) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (out_error == EFAULT) { /* bytes of the database that the kernel could not read */
        message("the database could not be read: it was cut short, or its storage failed");
        return STATUS_DATABASE;
    }
    return status_failed("cannot write to stdout: %s", strerror(out_error));
}
