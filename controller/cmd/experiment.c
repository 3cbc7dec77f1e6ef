/* Running an experiment of the Chaos Toolkit, here or by the `chaos` command. */
#include "controller/cmd/experiment.h"

#include "controller/base/json.h"
#include "controller/cmd/cmd.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOURNAL_BYTES_MAX = 64 << 20 };

bool experiment_read(const char *file, struct document *ret_document)
{
    struct errs errs = { .count = 0 };

    memset(ret_document, 0, sizeof(*ret_document));
    if (document_read(ret_document, file, &errs) == 0 && ctk_is_experiment(ret_document))
        return true;
    document_done(ret_document);
    return false;
}

/* ---- by the chaos command ------------------------------------------------------------------------------------------------- */

static cJSON *read_journal(const char *path, struct errs *errs)
{
    struct buf text;
    cJSON *journal = NULL;

    buf_init(&text, JOURNAL_BYTES_MAX);
    if (buf_read_file(&text, path) == 0)
        journal = cJSON_ParseWithLength(text.data, text.length);
    buf_done(&text);
    if (!journal)
        errs_add(errs, ERR_WORLD, path, "the chaos command left no journal here");
    return journal;
}

static int spawn_chaos(const char *file, const char *journal_path, struct errs *errs)
{
    const char *const argv[] = { "chaos", "run", "--journal-path", journal_path, file, NULL };
    int status, result;
    pid_t pid;

    result = posix_spawnp(&pid, "chaos", NULL, NULL, (char *const *)(uintptr_t)argv, environ);
    if (result)
        return errs_add(errs, ERR_WORLD, "chaos", "the command does not start: %s", strerror(result));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

static int status_of(const cJSON *journal)
{
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(journal, "status"));
    const cJSON *before = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(journal, "steady_states"), "before");

    if (!status || strcmp(status, "completed") != 0)
        return 3;
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(before, "steady_state_met"))) /* "completed" all the same: a trap of the format */
        return 2;
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(journal, "deviated"));
}

/* Ours stands in the journal beside theirs. The old one stays as it is until the new one is whole. */
static int write_back(const char *path, const cJSON *journal, struct errs *errs)
{
    char *text = json_pretty(journal);
    char draft[PATH_MAX];
    int result = -ENOMEM, fd = -1;
    FILE *out = NULL;

    if (text && snprintf(draft, sizeof(draft), "%s.XXXXXX", path) < (int)sizeof(draft)) {
        fd = mkostemp(draft, O_CLOEXEC);
        result = fd < 0 ? -errno : 0;
        out = fd < 0 ? NULL : fdopen(fd, "w");
    }
    if (out) {
        fprintf(out, "%s\n", text);
        (void)fchmod(fd, 0644);
        result = fflush(out) || fsync(fd) ? -errno : 0;
        fclose(out);
        if (result < 0 || rename(draft, path) < 0)
            (void)unlink(draft);
    }
    cJSON_free(text);
    return result < 0 ? errs_add(errs, ERR_WORLD, path, "the measurement cannot be added to the journal: %s", strerror(-result)) : 0;
}

static int delegate(const struct document *document, const char *journal_path, struct measurement *measurement, struct errs *errs)
{
    struct ctk_instants instants;
    cJSON *journal = NULL;
    int status;

    if (spawn_chaos(document->file, journal_path, errs) == 0)
        journal = read_journal(journal_path, errs);
    ctk_instants_of(journal, &instants);
    if (measurement)
        measurement_end(measurement, journal, &instants);
    if (measurement && journal)
        (void)write_back(journal_path, journal, errs);
    status = journal ? status_of(journal) : errs_status(errs);
    cJSON_Delete(journal);
    return status;
}

/* ---- here --------------------------------------------------------------------------------------------------------------------- */

static int run_here(const struct document *document, const struct run_options *options, struct measurement *measurement, struct errs *errs)
{
    struct ctk_request request = { .document = document, .journal_path = options->journal_path, .json = options->json,
                                   .extend = measurement ? measurement_end : NULL, .context = measurement };

    if (options->rollbacks && ctk_rollbacks_parse(options->rollbacks, &request.rollbacks) < 0)
        return errs_add(errs, ERR_USAGE, "--rollbacks", "'%s' is none of: default always never deviated", options->rollbacks);
    return ctk_execute(&request, errs);
}

static int execute(const struct document *document, const struct run_options *options, struct errs *errs)
{
    struct measurement *measurement = NULL;

    if (options->load_url && measurement_begin(options->load_url, (double)options->rate / 1000, errs, &measurement) < 0)
        return -EINVAL;
    if (options->delegate)
        return delegate(document, options->journal_path ? options->journal_path : "journal.json", measurement, errs);
    return run_here(document, options, measurement, errs);
}

int experiment_run(const struct document *document, const struct run_options *options)
{
    struct errs errs = { .count = 0 }, notes = { .count = 0 };
    int status = -EINVAL;

    if (options->delegate || ctk_check(document, &errs, &notes) == 0) {
        for (size_t i = 0; i < notes.count; i++)
            fprintf(stderr, "perturb: note: %s: %s\n", notes.list[i].where, notes.list[i].text);
        if (options->dry_run)
            status = 0;
        else
            status = execute(document, options, &errs);
    }
    errs_print(&errs, stderr);
    return errs.count ? errs_status(&errs) : status;
}
