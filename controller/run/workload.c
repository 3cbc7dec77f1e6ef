/* From a load of the playbook to its generator. */
#include "controller/run/run_priv.h"

#include "controller/probe/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* `context` is a text_list of "PATH=value". A load_check_function. */
static bool json_holds(const void *context, const char *body, size_t length)
{
    const struct text_list *pairs = context;

    (void)length;
    for (size_t i = 0; i < pairs->count; i++) {
        const char *equals = strchr(pairs->items[i], '=');
        char path[256];

        if ((size_t)(equals - pairs->items[i]) >= sizeof(path))
            return false;
        snprintf(path, sizeof(path), "%.*s", (int)(equals - pairs->items[i]), pairs->items[i]);
        if (!json_is_at(body, path, equals + 1))
            return false;
    }
    return true;
}

static size_t length_of(const char *text)
{
    return text ? strlen(text) : 0;
}

static unsigned digit_of(char digit)
{
    return isdigit((unsigned char)digit) ? (unsigned)(digit - '0') : (unsigned)(tolower((unsigned char)digit) - 'a') + 10;
}

static int decode_hex(const char *hex, char **ret_bytes)
{
    char *bytes = malloc(strlen(hex) / 2 + 1);

    if (!bytes)
        return -ENOMEM;
    for (size_t i = 0; hex[2 * i]; i++)
        bytes[i] = (char)(digit_of(hex[2 * i]) << 4 | digit_of(hex[2 * i + 1]));
    *ret_bytes = bytes;
    return 0;
}

static void fill_http(const struct http_load *http, struct load_spec *spec)
{
    spec->method = http->method;
    spec->headers = (const char *const *)http->headers.items;
    spec->body = http->body;
    spec->expect_text = http->expect;
    spec->http_version = http->version && !strcmp(http->version, "2") ? 2 : 1;
    spec->ca_file = http->ca;
    spec->is_insecure = http->insecure;
    if (http->json.count) {
        spec->check = json_holds;
        spec->check_context = &http->json;
    }
}

static void fill_udp(const struct udp_load *udp, const char *datagram, struct load_spec *spec)
{
    spec->body = udp->hex ? datagram : udp->send;
    spec->body_bytes = udp->hex ? strlen(udp->hex) / 2 : 0;
    spec->expect_text = udp->expect;
    spec->token_at = (uint32_t)udp->token_at;
    spec->token_bytes = (uint32_t)udp->token_bytes;
    spec->reply_token_at = (uint32_t)(udp->reply_token_at != ABSENT ? udp->reply_token_at : udp->token_at);
    spec->token_is_text = !udp->hex;
}

static void fill_kind(const struct workload *workload, const char *datagram, struct load_spec *spec)
{
    switch (workload->kind) {
    case WORKLOAD_HTTP:
        fill_http(&workload->http, spec);
        break;
    case WORKLOAD_RESP:
        spec->command = (const char *const *)workload->resp.command.items;
        spec->expect_text = workload->resp.expect;
        break;
    case WORKLOAD_TCP:
        spec->body = workload->tcp.send;
        spec->expect_text = workload->tcp.expect;
        spec->reply_bytes = (uint32_t)workload->tcp.bytes;
        spec->reply_until = workload->tcp.until;
        break;
    case WORKLOAD_UDP:
        fill_udp(&workload->udp, datagram, spec);
        break;
    case WORKLOAD_COMMAND:
        spec->run = (const char *const *)workload->command.run.items;
        spec->format = (enum load_format)workload->command.format;
        break;
    case WORKLOAD_POSTGRES:
    case WORKLOAD_KINDS:
        spec->body = workload->postgres.query;
        spec->expect_text = workload->postgres.expect;
        spec->expect_value = workload->postgres.value;
        break;
    }
    if (!spec->body_bytes)
        spec->body_bytes = length_of(spec->body);
}

static int fill_mix(struct load_run *load, struct load_spec *spec)
{
    const struct request *requests = load->workload->requests.items;
    size_t count = load->workload->requests.count;

    if (!count)
        return 0;
    load->mix = calloc(count, sizeof(*load->mix));
    if (!load->mix)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct request *request = &requests[i];
        const char *body = request->body ? request->body : request->send ? request->send : request->query;

        load->mix[i] = (struct load_request){
            .weight = (uint32_t)request->weight, .url = request->url, .method = request->method,
            .headers = (const char *const *)request->headers.items, .body = body, .body_bytes = length_of(body),
            .command = (const char *const *)request->command.items, .status_min = request->status_min, .status_max = request->status_max,
            .expect_text = request->expect, .expect_value = request->value, .check = request->json.count ? json_holds : NULL,
            .check_context = &request->json,
        };
    }
    spec->mix = load->mix;
    spec->mix_count = count;
    return 0;
}

static int make_arrival(struct run *run, struct load_run *load)
{
    const struct workload *workload = load->workload;
    const struct arrival_plan *plan = &workload->arrival;
    double rate = (double)workload->rate / 1000, to = (double)plan->to / 1000, at = (double)plan->at / 1e9;
    double length = plan->length == ABSENT ? 0 : (double)plan->length / 1e9;

    switch ((enum arrival_shape)plan->shape) {
    case ARRIVAL_CONSTANT:
        return plan->spacing ? arrival_new_constant(rate, true, run->seed, workload->name, &load->arrival) : 0;
    case ARRIVAL_RAMP:
    case ARRIVAL_STEP:
        return arrival_new_ramp(rate, to, at, length, plan->spacing, run->seed, workload->name, &load->arrival);
    case ARRIVAL_SPIKE:
        return arrival_new_spike(rate, to, at, length, plan->spacing, run->seed, workload->name, &load->arrival);
    case ARRIVAL_RATES:
        return arrival_read_rates(plan->file, plan->spacing, run->seed, workload->name, run->errs, &load->arrival);
    case ARRIVAL_INSTANTS:
        return arrival_read_instants(plan->file, run->errs, &load->arrival);
    }
    return -EINVAL;
}

int workload_spec(const struct run *run, struct load_run *load, struct load_spec *ret_spec)
{
    static const enum load_protocol protocols[WORKLOAD_KINDS] = {
        [WORKLOAD_HTTP] = LOAD_HTTP, [WORKLOAD_RESP] = LOAD_RESP, [WORKLOAD_TCP] = LOAD_TCP, [WORKLOAD_UDP] = LOAD_UDP,
        [WORKLOAD_POSTGRES] = LOAD_POSTGRES, [WORKLOAD_COMMAND] = LOAD_COMMAND,
    };
    const struct workload *workload = load->workload;
    struct load_spec spec = {
        .name = workload->name, .run_id = run->id, .seed = run->seed, .protocol = protocols[workload->kind], .url = workload->url,
        .status_min = workload->status_min, .status_max = workload->status_max, .timeout_ns = (uint64_t)workload->timeout,
        .connections_max = (uint32_t)workload->connections, .late_after_ns = (uint64_t)(run_base_bin_s(run) * 1e9),
        .spill_directory = run->directory,
    };
    int rc = workload->udp.hex ? decode_hex(workload->udp.hex, &load->datagram) : 0;

    fill_kind(workload, load->datagram, &spec);
    if (rc == 0)
        rc = fill_mix(load, &spec);
    *ret_spec = spec;
    return rc;
}

int workload_new(struct run *run, struct load_run *load)
{
    const struct workload *workload = load->workload;
    char where[ERR_WHERE_MAX];
    struct load_spec spec;
    int rc = workload_spec(run, load, &spec);

    if (rc == 0)
        rc = make_arrival(run, load);
    spec.rate_per_s = load->arrival ? arrival_rate_max_per_s(load->arrival) : workload->rate == ABSENT ? 0 : (double)workload->rate / 1000;
    spec.plan = load->arrival ? arrival_at_ns : NULL;
    spec.plan_context = load->arrival;
    if (rc == 0)
        rc = load_new(&spec, run->errs, &load->generator);
    if (rc < 0 && !run->errs->count)
        errs_add(run->errs, ERR_INPUT, node_where(&run->playbook->document, workload->node, where, sizeof(where)),
                 "load '%s' cannot be made: %s", workload->name, strerror(-rc));
    return rc < 0 ? -EINVAL : 0;
}

void workload_done(struct load_run *load)
{
    load->generator = load_free(load->generator);
    load->arrival = arrival_free(load->arrival);
    free(TAKE_PTR(load->mix));
    free(TAKE_PTR(load->datagram));
}
