/* Taking evidence: a thread a piece. */
#include "controller/probe/evidence.h"

#include "controller/probe/probe_priv.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTE_OUTPUT_MAX = 65536, VARIABLES_MAX = 8 };

#define NOTIFY_TIMEOUT_NS (10 * NS_PER_S)

struct evidence_job {
    const struct evidence *evidence; /* NULL: somebody is told */
    const struct text_list *command;
    const char *directory;
    char moment[16];
    char *variables[VARIABLES_MAX + 1];
    const struct probe_world *world;
    pthread_t thread;
    atomic_bool stopping, done;
    struct evidence_result result;
};

/* The environment with the job's variables first: getenv(3) finds the first. Returns new. */
static char **environment_with(char *const *variables)
{
    size_t own = 0, count = 0;
    char **list;

    while (variables[own])
        own++;
    while (environ[count])
        count++;
    list = calloc(own + count + 1, sizeof(char *));
    if (list) {
        memcpy(list, variables, own * sizeof(char *));
        memcpy(list + own, environ, count * sizeof(char *));
    }
    return list;
}

static int fetch(struct reading *reading, const char *url, struct buf *content)
{
    long status = 0;
    int result = reading_fetch(reading, url, content, &status);

    return result || status < 400 ? result : reading_fail(reading, "%s answered with status %ld", url, status);
}

static int write_out(const struct evidence_job *job, const struct buf *content, struct reading *reading, struct evidence_result *result)
{
    char path[4096];
    AUTO_CLOSE int fd = -1;

    snprintf(path, sizeof(path), "%s/captures", job->directory);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return reading_fail(reading, "%s: %s", path, strerror(errno));
    snprintf(result->file, sizeof(result->file), "captures/%.64s.%s", job->evidence->name, job->moment);
    snprintf(path, sizeof(path), "%s/%s", job->directory, result->file);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || file_write_all(fd, content->data, content->length) < 0) {
        result->file[0] = '\0';
        return reading_fail(reading, "%s: %s", path, strerror(errno));
    }
    result->bytes = content->length;
    return 0;
}

/* What came in time is kept though the rest did not: a hung service is what one wants to see. */
static void take(struct evidence_job *job, struct reading *reading)
{
    const struct evidence *evidence = job->evidence;
    struct buf content;
    int result;

    buf_init(&content, (size_t)evidence->size_max);
    if (evidence->url)
        result = fetch(reading, evidence->url, &content);
    else if (evidence->proc)
        result = evidence_proc(reading, evidence->proc, &content);
    else if (evidence->stacks)
        result = evidence_stacks(reading, evidence->stacks, evidence->samples, &content);
    else
        result = reading_run(reading, &evidence->command, environ, &content);
    if (content.length) {
        if (!memchr(content.data, '\0', content.length))
            job->result.blanked = evidence_redact(&content);
        if (write_out(job, &content, reading, &job->result) < 0)
            result = -EIO;
    }
    buf_done(&content);
    if (result < 0)
        memcpy(job->result.why, reading->why, sizeof(job->result.why));
}

static void tell(struct evidence_job *job, struct reading *reading)
{
    char **environment = environment_with(job->variables);
    struct buf output;

    buf_init(&output, NOTE_OUTPUT_MAX);
    if (!environment || reading_run(reading, job->command, environment, &output) < 0)
        memcpy(job->result.why, environment ? reading->why : "out of memory", environment ? sizeof(job->result.why) : 14);
    buf_done(&output);
    free(environment);
}

static void *job_thread(void *argument)
{
    struct evidence_job *job = argument;
    uint64_t timeout_ns = job->evidence ? (uint64_t)job->evidence->timeout : NOTIFY_TIMEOUT_NS;
    struct reading reading = { .now_ns = job->result.begun_ns, .deadline_ns = job->result.begun_ns + timeout_ns, .stopping = &job->stopping,
                               .world = job->world };

    if (job->evidence)
        take(job, &reading);
    else
        tell(job, &reading);
    job->result.done_ns = clock_now_ns();
    atomic_store(&job->done, true);
    return NULL;
}

static int begin(struct evidence_job *job, struct evidence_job **ret_job)
{
    job->result.begun_ns = clock_now_ns();
    if (pthread_create(&job->thread, NULL, job_thread, job) != 0) {
        for (size_t i = 0; job->variables[i]; i++)
            free(job->variables[i]);
        free(job);
        return -EAGAIN;
    }
    *ret_job = job;
    return 0;
}

int evidence_take(const struct evidence *evidence, const char *moment, const char *directory, const struct probe_world *world,
                  struct evidence_job **ret_job)
{
    struct evidence_job *job = calloc(1, sizeof(*job));

    if (!job)
        return -ENOMEM;
    job->evidence = evidence;
    job->directory = directory;
    job->world = world;
    snprintf(job->moment, sizeof(job->moment), "%s", moment);
    return begin(job, ret_job);
}

int evidence_notify(const struct text_list *command, const char *const *variables, struct evidence_job **ret_job)
{
    struct evidence_job *job = calloc(1, sizeof(*job));

    if (!job)
        return -ENOMEM;
    job->command = command;
    for (size_t i = 0; i < VARIABLES_MAX && variables[i]; i++)
        job->variables[i] = strdup(variables[i]); /* a missing one ends the list: the program is told less */
    return begin(job, ret_job);
}

bool evidence_is_done(const struct evidence_job *job)
{
    return atomic_load(&job->done);
}

void evidence_end(struct evidence_job *job, bool now, struct evidence_result *ret_result)
{
    if (!job)
        return;
    if (now)
        atomic_store(&job->stopping, true);
    pthread_join(job->thread, NULL);
    *ret_result = job->result;
    for (size_t i = 0; job->variables[i]; i++)
        free(job->variables[i]);
    free(job);
}
