/* SPDX-License-Identifier: MIT */
/* Lines with their places; see source.h. */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "status.h"

#define SOURCE_BUFFER_BYTES (1u << 18)

int source_open(struct source *source, const char *path)
{
    struct stat st;
    bool is_stdin = !path || !strcmp(path, "-");
    *source = (struct source){.name = is_stdin ? "stdin" : path};
    source->file = is_stdin ? stdin : fopen(path, "rb");
    if (!source->file)
        return status_failed("cannot open %s: %s", path, strerror(errno));
    if (!fstat(fileno(source->file), &st) && S_ISREG(st.st_mode))
        source->size_bytes = (uint64_t)st.st_size;
    setvbuf(source->file, NULL, _IOFBF, SOURCE_BUFFER_BYTES);
    return STATUS_DONE;
}

int source_next(struct source *source)
{
    if (source->held) {
        source->held = false;
        return 1;
    }
    errno = 0;
    ssize_t got = getline(&source->line, &source->line_capacity, source->file);
    if (got < 0)
        return errno || ferror(source->file) ? -1 : 0;
    source->line_number++;
    source->line_offset = source->next_offset;
    source->next_offset += (uint64_t)got;
    source->line_size = (size_t)got;
    if (source->line[got - 1] == '\n')
        source->line[--source->line_size] = 0;
    return 1;
}

void source_hold(struct source *source)
{
    source->held = true;
}

void source_close(struct source *source)
{
    if (source->file && source->file != stdin)
        fclose(source->file);
    free(source->line);
    *source = (struct source){0};
}
