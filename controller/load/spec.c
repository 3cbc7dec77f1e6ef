/* What to send: checks a load_spec, fills in its defaults, copies it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "controller/load/load_priv.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#define TIMEOUT_MAX_NS (600 * NS_PER_S)
#define RECORDS_MAX_DEFAULT UINT64_C(20000000)
enum { CONNECTIONS_LIMIT = 16384, CONNECTIONS_DEFAULT_MIN = 16, CONNECTIONS_DEFAULT_MAX = 512 };
enum { DESCRIPTORS_SPARE = 128, WORDS_MAX = 64, WEIGHT_MAX = 1000000 };

static uint64_t plan_constant(const void *context, uint64_t index)
{
    return (uint64_t)((double)index * (double)NS_PER_S / *(const double *)context);
}

/* What a protocol takes, in the order of enum load_protocol. */
static const struct protocol {
    const char *schemes[2];
    const char *example;
    bool has_http, has_command, has_body, is_outside;
} protocols[] = {
    [LOAD_HTTP] = { { "http://", "https://" }, "http://... or https://...", .has_http = true, .has_body = true },
    [LOAD_RESP] = { { "redis://", "redis://" }, "redis://HOST:PORT", .has_command = true },
    [LOAD_TCP] = { { "tcp://", "tcp://" }, "tcp://HOST:PORT", .has_body = true },
    [LOAD_UDP] = { { "udp://", "udp://" }, "udp://HOST:PORT", .has_body = true },
    [LOAD_POSTGRES] = { { "postgres://", "postgresql://" }, "postgres://USER@HOST:PORT/DATABASE", .has_body = true },
    [LOAD_COMMAND] = { .is_outside = true },
};

static void check_url(const struct protocol *protocol, const char *url, struct errs *errs)
{
    if (!url || !*url)
        errs_add(errs, ERR_INPUT, "url", "a load needs a url");
    else if (strncmp(url, protocol->schemes[0], strlen(protocol->schemes[0])) != 0 &&
             strncmp(url, protocol->schemes[1], strlen(protocol->schemes[1])) != 0)
        errs_add(errs, ERR_INPUT, "url", "found '%s', expected %s", url, protocol->example);
}

static void check_http(const struct load_request *request, struct errs *errs)
{
    for (const char *const *header = request->headers; header && *header; header++)
        if (!strchr(*header, ':') || strpbrk(*header, "\r\n"))
            errs_add(errs, ERR_INPUT, "headers", "found '%s', expected 'Name: value' on one line", *header);
    if (request->method && (!*request->method || strpbrk(request->method, " \t\r\n/:")))
        errs_add(errs, ERR_INPUT, "method", "found '%s', expected a method such as GET", request->method);
    if (request->status_min > request->status_max || request->status_max > 999)
        errs_add(errs, ERR_INPUT, "status", "found %u..%u, expected a range within 100..599", request->status_min, request->status_max);
}

static void check_command(const struct load_request *request, struct errs *errs)
{
    size_t words = 0;

    if (request->command && request->command_inline)
        errs_add(errs, ERR_INPUT, "command", "a list of words and an inline command exclude each other");
    if (request->command_inline && (!*request->command_inline || strpbrk(request->command_inline, "\r\n")))
        errs_add(errs, ERR_INPUT, "command", "an inline command is one line, not empty");
    while (request->command && words <= WORDS_MAX && request->command[words])
        words++;
    if (request->command && (words == 0 || words > WORDS_MAX))
        errs_add(errs, ERR_INPUT, "command", "expected 1 to %d words", WORDS_MAX);
}

static void check_request(const struct protocol *protocol, const struct load_request *request, struct errs *errs)
{
    if (protocol->has_http)
        check_http(request, errs);
    else if (request->headers || request->method)
        errs_add(errs, ERR_INPUT, "headers", "headers and method are for http:// loads");
    if (protocol->has_command)
        check_command(request, errs);
    else if (request->command || request->command_inline)
        errs_add(errs, ERR_INPUT, "command", "a command is for redis:// loads");
    if (!protocol->has_body && request->body)
        errs_add(errs, ERR_INPUT, "body", "a body is for other loads than redis://");
    if (request->expect_text && (!*request->expect_text || strlen(request->expect_text) > MATCH_TEXT_MAX))
        errs_add(errs, ERR_INPUT, "expect", "expected a text of 1 to %d bytes", MATCH_TEXT_MAX);
    if (request->weight > WEIGHT_MAX)
        errs_add(errs, ERR_INPUT, "weight", "found %u, expected 1 to %d", request->weight, WEIGHT_MAX);
}

static void check_protocol(const struct load_spec *spec, struct errs *errs)
{
    const struct protocol *protocol = &protocols[spec->protocol];

    if (protocol->is_outside != (spec->run && *spec->run))
        errs_add(errs, ERR_INPUT, "run", "a load of another generator, and no other, needs a command");
    if (protocol->is_outside)
        return;
    check_url(protocol, spec->url, errs);
    for (size_t i = 0; i < spec->mix_count; i++) {
        if (spec->mix[i].url != spec->url)
            check_url(protocol, spec->mix[i].url, errs);
        check_request(protocol, &spec->mix[i], errs);
    }
    if (spec->run_id && strpbrk(spec->run_id, "\r\n"))
        errs_add(errs, ERR_INPUT, "run_id", "must be one line");
    if (spec->http_version > 2)
        errs_add(errs, ERR_INPUT, "version", "found %u, expected 1 or 2", spec->http_version);
    if (spec->reply_bytes && spec->reply_until)
        errs_add(errs, ERR_INPUT, "until", "a reply ends by its length or by a text, not by both");
    if (spec->reply_until && (!*spec->reply_until || strlen(spec->reply_until) > MATCH_TEXT_MAX))
        errs_add(errs, ERR_INPUT, "until", "expected a text of 1 to %d bytes", MATCH_TEXT_MAX);
    if (spec->token_bytes > LOAD_TOKEN_MAX)
        errs_add(errs, ERR_INPUT, "token", "found %u bytes, expected at most %d", spec->token_bytes, LOAD_TOKEN_MAX);
}

static void check_numbers(const struct load_spec *spec, struct errs *errs)
{
    struct rlimit limit;

    if (spec->protocol != LOAD_COMMAND && spec->plan == plan_constant && !(spec->rate_per_s > 0 && spec->rate_per_s <= 1e6))
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
}

static uint32_t connections_default(const struct load_spec *spec)
{
    double most = CONNECTIONS_DEFAULT_MAX;
    double need = spec->rate_per_s > 0 ? ceil(spec->rate_per_s * (double)spec->timeout_ns / (double)NS_PER_S) + 1 : most;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 2 * CONNECTIONS_DEFAULT_MAX)
        most = (double)limit.rlim_cur / 2;
    return (uint32_t)fmax(CONNECTIONS_DEFAULT_MIN, fmin(need, most));
}

static void set_defaults(struct load_spec *spec)
{
    if (!spec->timeout_ns)
        spec->timeout_ns = spec->protocol == LOAD_COMMAND ? TIMEOUT_MAX_NS : NS_PER_S;
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
    if (spec->protocol == LOAD_COMMAND)
        spec->connections_max = 1;
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

static int copy_body(const char *bytes, size_t length, const char **ret_body)
{
    char *body = bytes ? malloc(length + 1) : NULL;

    if (bytes && !body)
        return -ENOMEM;
    if (body) {
        memcpy(body, bytes, length);
        body[length] = '\0';
    }
    *ret_body = body;
    return 0;
}

/* One of the mix, borrowed, with what it does not say taken from the spec. */
static struct load_request fill_in(const struct load_spec *spec, const struct load_request *request)
{
    struct load_request full = *request;

    full.weight = full.weight ? full.weight : 1;
    full.url = full.url ? full.url : spec->url;
    full.method = full.method ? full.method : spec->method;
    full.headers = full.headers ? full.headers : spec->headers;
    full.body_bytes = full.body ? full.body_bytes : spec->body_bytes;
    full.body = full.body ? full.body : spec->body;
    if (!full.command && !full.command_inline) {
        full.command = spec->command;
        full.command_inline = spec->command_inline;
    }
    if (!full.status_min && !full.status_max) {
        full.status_min = spec->status_min;
        full.status_max = spec->status_max;
    }
    full.expect_text = full.expect_text ? full.expect_text : spec->expect_text;
    full.expect_value = full.expect_value ? full.expect_value : spec->expect_value;
    full.check_context = full.check ? full.check_context : spec->check_context;
    full.check = full.check ? full.check : spec->check;
    if (!full.body && spec->protocol == LOAD_POSTGRES) {
        full.body = "SELECT 1";
        full.body_bytes = strlen(full.body);
    }
    return full;
}

/* `request` holds borrowed texts, which become its own; what could not be copied is NULL. */
static int own_request(struct load_request *request)
{
    struct load_request own = *request;

    own.url = own.method = own.body = own.command_inline = own.expect_text = own.expect_value = NULL;
    own.headers = own.command = NULL;
    int failed = copy_text(request->url, &own.url);
    failed |= copy_text(request->method, &own.method);
    failed |= copy_list(request->headers, &own.headers);
    failed |= copy_body(request->body, request->body_bytes, &own.body);
    failed |= copy_list(request->command, &own.command);
    failed |= copy_text(request->command_inline, &own.command_inline);
    failed |= copy_text(request->expect_text, &own.expect_text);
    failed |= copy_text(request->expect_value, &own.expect_value);
    *request = own;
    return failed ? -ENOMEM : 0;
}

static int own_spec(const struct load_spec *spec, struct load_spec *copy)
{
    int failed = copy_text(spec->name ? spec->name : "load", &copy->name);

    failed |= copy_text(spec->run_id, &copy->run_id);
    failed |= copy_text(spec->url, &copy->url);
    failed |= copy_text(spec->ca_file, &copy->ca_file);
    failed |= copy_text(spec->reply_until, &copy->reply_until);
    failed |= copy_text(spec->spill_directory, &copy->spill_directory);
    failed |= copy_list(spec->run, &copy->run);
    return failed ? -ENOMEM : 0;
}

/* The mix of the copy: at least one request, complete. */
static struct load_request *build_mix(const struct load_spec *spec)
{
    const struct load_request only = { 0 };
    size_t count = spec->mix_count ? spec->mix_count : 1;
    struct load_request *mix = calloc(count, sizeof(*mix));

    for (size_t i = 0; mix && i < count; i++)
        mix[i] = fill_in(spec, spec->mix_count ? &spec->mix[i] : &only);
    return mix;
}

int load_spec_copy(const struct load_spec *spec, struct errs *errs, struct load_spec *ret_copy)
{
    size_t before = errs->count + errs->dropped;
    struct load_spec copy = *spec;
    struct load_request *mix;
    int failed = 0;

    if (spec->mix_count > LOAD_MIX_MAX)
        return errs_add(errs, ERR_INPUT, "requests", "found %zu, expected at most %d", spec->mix_count, LOAD_MIX_MAX);
    set_defaults(&copy);
    mix = build_mix(&copy);
    if (!mix)
        return -ENOMEM;
    copy.mix = mix;
    copy.mix_count = spec->mix_count ? spec->mix_count : 1;
    check_protocol(&copy, errs);
    check_numbers(&copy, errs);
    if (errs->count + errs->dropped > before) {
        free(mix);
        return -EINVAL;
    }
    copy.name = copy.run_id = copy.url = copy.method = copy.body = copy.command_inline = copy.expect_text = copy.expect_value = NULL;
    copy.ca_file = copy.reply_until = copy.spill_directory = NULL;
    copy.headers = copy.command = copy.run = NULL;
    for (size_t i = 0; i < copy.mix_count; i++)
        failed |= own_request(&mix[i]);
    failed |= own_spec(spec, &copy);
    if (failed) {
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

static void free_texts(const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)texts[i]);
}

void load_spec_done(struct load_spec *copy)
{
    const char *const texts[] = { copy->name, copy->run_id, copy->url, copy->ca_file, copy->reply_until, copy->spill_directory };

    for (size_t i = 0; i < copy->mix_count; i++) {
        const struct load_request *request = &copy->mix[i];
        const char *const own[] = { request->url, request->method, request->body, request->command_inline, request->expect_text,
                                    request->expect_value };

        free_texts(own, ARRAY_SIZE(own));
        free_list(request->headers);
        free_list(request->command);
    }
    free((void *)(uintptr_t)copy->mix);
    free_list(copy->run);
    free_texts(texts, ARRAY_SIZE(texts));
    *copy = (struct load_spec){ 0 };
}
