/* What to send: checks a load_spec, fills in its defaults, copies it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "controller/load/load_priv.h"
#include "scenarios/base/clock.h"

#define TIMEOUT_MAX_NS (600 * NS_PER_S)
#define RECORDS_MAX_DEFAULT UINT64_C(20000000)
enum { CONNECTIONS_LIMIT = 16384, CONNECTIONS_DEFAULT_MIN = 16, CONNECTIONS_DEFAULT_MAX = 512 };
enum { DESCRIPTORS_SPARE = 128, WORDS_MAX = 64 };

static uint64_t plan_constant(const void *context, uint64_t index)
{
    return (uint64_t)((double)index * (double)NS_PER_S / *(const double *)context);
}

static void check_http(const struct load_spec *spec, struct errs *errs)
{
    if (spec->url && strncmp(spec->url, "http://", 7) != 0 && strncmp(spec->url, "https://", 8) != 0)
        errs_add(errs, ERR_INPUT, "url", "found '%s', expected http://... or https://...", spec->url);
    if (spec->command || spec->command_inline)
        errs_add(errs, ERR_INPUT, "command", "a command is for redis:// loads");
    for (const char *const *header = spec->headers; header && *header; header++)
        if (!strchr(*header, ':') || strpbrk(*header, "\r\n"))
            errs_add(errs, ERR_INPUT, "headers", "found '%s', expected 'Name: value' on one line", *header);
    if (spec->method && (!*spec->method || strpbrk(spec->method, " \t\r\n/:")))
        errs_add(errs, ERR_INPUT, "method", "found '%s', expected a method such as GET", spec->method);
    if (spec->run_id && strpbrk(spec->run_id, "\r\n"))
        errs_add(errs, ERR_INPUT, "run_id", "must be one line");
    if (spec->status_min > spec->status_max || spec->status_max > 999)
        errs_add(errs, ERR_INPUT, "status", "found %u..%u, expected a range within 100..599", spec->status_min, spec->status_max);
}

static void check_resp(const struct load_spec *spec, struct errs *errs)
{
    size_t words = 0;

    if (spec->url && strncmp(spec->url, "redis://", 8) != 0)
        errs_add(errs, ERR_INPUT, "url", "found '%s', expected redis://HOST:PORT", spec->url);
    if (spec->command && spec->command_inline)
        errs_add(errs, ERR_INPUT, "command", "a list of words and an inline command exclude each other");
    if (spec->command_inline && (!*spec->command_inline || strpbrk(spec->command_inline, "\r\n")))
        errs_add(errs, ERR_INPUT, "command", "an inline command is one line, not empty");
    while (spec->command && words <= WORDS_MAX && spec->command[words])
        words++;
    if (spec->command && (words == 0 || words > WORDS_MAX))
        errs_add(errs, ERR_INPUT, "command", "expected 1 to %d words", WORDS_MAX);
    if (spec->body || spec->headers || spec->method)
        errs_add(errs, ERR_INPUT, "body", "body, headers and method are for http:// loads");
}

static void check_numbers(const struct load_spec *spec, struct errs *errs)
{
    struct rlimit limit;

    if (spec->plan == plan_constant && !(spec->rate_per_s > 0 && spec->rate_per_s <= 1e6))
        errs_add(errs, ERR_INPUT, "rate", "found %g/s, expected above 0 and at most 1000000/s", spec->rate_per_s);
    if (spec->timeout_ns > TIMEOUT_MAX_NS)
        errs_add(errs, ERR_INPUT, "timeout", "expected at most 10 minutes");
    if (spec->connections_max > CONNECTIONS_LIMIT)
        errs_add(errs, ERR_INPUT, "connections", "found %u, expected at most %d", spec->connections_max, CONNECTIONS_LIMIT);
    else if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)spec->connections_max + DESCRIPTORS_SPARE)
        errs_add(errs, ERR_WORLD, "connections", "%u connections need %u descriptors, this process may have %llu (ulimit -n)",
                 spec->connections_max, spec->connections_max + DESCRIPTORS_SPARE, (unsigned long long)limit.rlim_cur);
    if (spec->records_max > UINT32_MAX)
        errs_add(errs, ERR_INPUT, "records", "expected at most %u", UINT32_MAX);
    if (spec->expect_text && (!*spec->expect_text || strlen(spec->expect_text) > MATCH_TEXT_MAX))
        errs_add(errs, ERR_INPUT, "expect", "expected a text of 1 to %d bytes", MATCH_TEXT_MAX);
}

static uint32_t connections_default(const struct load_spec *spec)
{
    double most = CONNECTIONS_DEFAULT_MAX;
    double need = spec->plan == plan_constant ? ceil(spec->rate_per_s * (double)spec->timeout_ns / (double)NS_PER_S) + 1 : most;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 2 * CONNECTIONS_DEFAULT_MAX)
        most = (double)limit.rlim_cur / 2;
    return (uint32_t)fmax(CONNECTIONS_DEFAULT_MIN, fmin(need, most));
}

static void set_defaults(struct load_spec *spec)
{
    if (!spec->timeout_ns)
        spec->timeout_ns = NS_PER_S;
    if (!spec->late_after_ns)
        spec->late_after_ns = 20 * NS_PER_MS;
    if (!spec->records_max)
        spec->records_max = RECORDS_MAX_DEFAULT;
    if (!spec->status_min && !spec->status_max) {
        spec->status_min = 200;
        spec->status_max = 299;
    }
    if (!spec->plan)
        spec->plan = plan_constant;
    if (!spec->connections_max)
        spec->connections_max = connections_default(spec);
}

static int copy_text(const char *text, const char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

/* A NULL-terminated list of texts, as one allocation for the list and one for each text. */
static int copy_list(const char *const *list, const char *const **ret_copy)
{
    size_t count = 0;

    *ret_copy = NULL;
    if (!list)
        return 0;
    while (list[count])
        count++;
    const char **copy = calloc(count + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *ret_copy = copy;
    for (size_t i = 0; i < count; i++)
        if (copy_text(list[i], &copy[i]) < 0)
            return -ENOMEM;
    return 0;
}

static int copy_body(const struct load_spec *spec, const char **ret_body)
{
    char *body = spec->body ? malloc(spec->body_bytes + 1) : NULL;

    if (spec->body && !body)
        return -ENOMEM;
    if (body)
        memcpy(body, spec->body, spec->body_bytes);
    *ret_body = body;
    return 0;
}

int load_spec_copy(const struct load_spec *spec, struct errs *errs, struct load_spec *ret_copy)
{
    size_t before = errs->count + errs->dropped;
    struct load_spec copy = *spec;

    set_defaults(&copy);
    if (!copy.url || !*copy.url)
        errs_add(errs, ERR_INPUT, "url", "a load needs a url");
    (copy.protocol == LOAD_HTTP ? check_http : check_resp)(&copy, errs);
    check_numbers(&copy, errs);
    if (errs->count + errs->dropped > before)
        return -EINVAL;
    copy.name = copy.run_id = copy.url = copy.method = copy.body = copy.command_inline = copy.expect_text = NULL;
    copy.headers = copy.command = NULL;
    if (copy_text(spec->name ? spec->name : "load", &copy.name) < 0 || copy_text(spec->run_id, &copy.run_id) < 0 ||
        copy_text(spec->url, &copy.url) < 0 || copy_text(spec->method, &copy.method) < 0 ||
        copy_text(spec->command_inline, &copy.command_inline) < 0 || copy_text(spec->expect_text, &copy.expect_text) < 0 ||
        copy_list(spec->headers, &copy.headers) < 0 || copy_list(spec->command, &copy.command) < 0 ||
        copy_body(spec, &copy.body) < 0) {
        load_spec_done(&copy);
        errs_add(errs, ERR_WORLD, NULL, "out of memory");
        return -ENOMEM;
    }
    *ret_copy = copy;
    if (ret_copy->plan == plan_constant)
        ret_copy->plan_context = &ret_copy->rate_per_s;
    return 0;
}

static void free_list(const char *const *list)
{
    for (const char *const *text = list; text && *text; text++)
        free((void *)(uintptr_t)*text);
    free((void *)(uintptr_t)list);
}

void load_spec_done(struct load_spec *copy)
{
    const char *const texts[] = { copy->name, copy->run_id, copy->url, copy->method, copy->body, copy->command_inline,
                                  copy->expect_text };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free((void *)(uintptr_t)texts[i]);
    free_list(copy->headers);
    free_list(copy->command);
    *copy = (struct load_spec){ 0 };
}
