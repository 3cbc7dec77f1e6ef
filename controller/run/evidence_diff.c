/* What lies between two captures of one thing: of Go task dumps, which stacks grew and which tasks never ended. */
#include "controller/run/run_priv.h"

#include "controller/diagnose/diagnose.h"
#include "scenarios/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DUMP_MAX = 1 << 30 };

/* 0 when the file is a dump that can be read whole enough; what is none is no error. */
static int read_dump(const struct run *run, const struct evidence_run *entry, struct go_dump *ret_dump)
{
    char path[4096];
    struct errs errs = { 0 };
    struct buf buf;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", run->directory, entry->result.file);
    buf_init(&buf, DUMP_MAX);
    if (!entry->result.file[0] || buf_read_file(&buf, path) < 0 || !go_dump_is(buf.data, buf.length)) {
        buf_done(&buf);
        return -1;
    }
    size = buf.length;
    return go_dump_parse(buf_take(&buf), size, entry->name, ret_dump, &errs);
}

static const struct evidence_run *find_before(const struct run *run, const struct evidence_run *after)
{
    for (size_t i = 0; i < run->evidence_count; i++)
        if (run->evidence[i].name == after->name && !strcmp(run->evidence[i].moment, "before"))
            return &run->evidence[i];
    return NULL;
}

cJSON *run_evidence_diff(const struct run *run, const struct evidence_run *after)
{
    const struct evidence_run *before = strcmp(after->moment, "before") != 0 ? find_before(run, after) : NULL;
    struct go_dump first, last;
    cJSON *diff = NULL;

    if (!before || read_dump(run, before, &first) < 0)
        return NULL;
    if (read_dump(run, after, &last) == 0) {
        diff = go_diagnose(&last, &first);
        go_dump_done(&last);
    }
    go_dump_done(&first);
    return diff;
}
