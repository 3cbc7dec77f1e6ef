/* The sections `outlets` and `egress`: tables of keys, then what tables cannot say. */
#include "controller/outlet/config.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/matcher.h"
#include "scenarios/playbook/keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct key_desc outlet_keys[] = {
    { "kind", VALUE(UNIT_ENUM, 0, OUTLET_KINDS - 1, 0), AT(outlet, kind), .words = OUTLET_KIND_WORDS, .required = true, .help = "What listens there." },
    { "url", KEY_TEXT, AT(outlet, url_text), .help = "Of it: up to where its own paths begin." },
    { "url-file", KEY_TEXT, AT(outlet, url_file), .help = "A file that holds the URL, where that is a secret." },
    { "url-env", KEY_TEXT, AT(outlet, url_env), .help = "An environment variable that does." },
    { "token-file", KEY_TEXT, AT(outlet, token_file), .help = "A file that holds the token of Authorization: Bearer." },
    { "token-env", KEY_TEXT, AT(outlet, token_env), .help = "An environment variable that does." },
    { "secret-file", KEY_TEXT, AT(outlet, secret_file), .help = "webhook: a file that holds the key of its signature." },
    { "secret-env", KEY_TEXT, AT(outlet, secret_env), .help = "webhook: an environment variable that does." },
    { "headers", KEY_PAIRS, AT(outlet, headers), .words = ": ", .help = "Headers of each request; no place for secrets." },
    { "on", KEY_TEXTS, AT(outlet, on), .help = "webhook, slack: which of " OUTLET_MOMENT_WORDS "; default all, and ended for slack." },
    { "dashboard", KEY_TEXT, AT(outlet, dashboard), .help = "grafana: uid of the dashboard that is annotated; default all of them." },
    { "tags", KEY_TEXTS, AT(outlet, tags), .help = "grafana: further tags of each annotation." },
    { "silence", KEY_TEXTS, AT(outlet, silence), .help = "alertmanager: matchers of what is silenced while a run lives. None: detection is measured, not silenced." },
    { "silence-for", VALUE(UNIT_DURATION, 3 * SECOND, 3600 * SECOND, 60 * SECOND), AT(outlet, silence_for),
      .help = "alertmanager: so long after the last heartbeat it ends by itself." },
    { "alert", VALUE(UNIT_BOOL, 0, 1, 0), AT(outlet, alert), .help = "alertmanager: a failed run raises an alert, a passing one of the same playbook ends it." },
    { "alert-for", VALUE(UNIT_DURATION, 60 * SECOND, 30 * DAY, 7 * DAY), AT(outlet, alert_for), .help = "alertmanager: an alert that nothing ends lasts so long." },
    { "timeout", VALUE(UNIT_DURATION, 100 * MILLISECOND, 60 * SECOND, 5 * SECOND), AT(outlet, timeout), .help = "Of one request." },
    { "give-up", VALUE(UNIT_DURATION, SECOND, 30 * DAY, DAY), AT(outlet, give_up), .help = "What could not be delivered for so long is dropped, and counted." },
};
static const struct section_desc outlet_section = { "outlet", sizeof(struct outlet), KEYS(outlet_keys), offsetof(struct outlet, node),
                                                    offsetof(struct outlet, name), .help = "Somebody who is told of runs." };

#define LOOPBACK_WORDS "none captures all"
enum loopback { LOOPBACK_NONE, LOOPBACK_CAPTURES, LOOPBACK_ALL };

struct egress_keys {
    int64_t loopback, drain, queue;
    struct text_list allow;
};

static const struct key_desc egress_keys[] = {
    { "loopback", VALUE(UNIT_ENUM, 0, 2, LOOPBACK_CAPTURES), AT(egress_keys, loopback), .words = LOOPBACK_WORDS,
      .help = "Who may go to this host itself: nobody; probes and captures of playbooks; outlets too." },
    { "allow", KEY_TEXTS, AT(egress_keys, allow), .help = "Networks that may be gone to though they are on the deny-list." },
    { "drain", VALUE(UNIT_DURATION, 0, 600 * SECOND, 10 * SECOND), AT(egress_keys, drain), .help = "How long the end of a run waits for what is still to be sent." },
    { "queue", VALUE(UNIT_COUNT, 1, 100000, 1000), AT(egress_keys, queue), .help = "Deliveries that may wait, an outlet and run; the oldest is dropped first." },
};
static const struct section_desc egress_section = { "egress", sizeof(struct egress_keys), KEYS(egress_keys), NO_NODE, NO_NAME,
                                                    .help = "Where requests may go." };

static const struct key_desc file_keys[] = {
    { "outlets", KEY_MAP, AT(outlet_config, outlets), .section = &outlet_section, .help = "Who is told." },
};
static const struct section_desc file_section = { "file", sizeof(struct outlet_config), KEYS(file_keys), NO_NODE, NO_NAME, .open = true,
                                                  .help = "A file with outlets." };

/* ---- secrets ------------------------------------------------------------------------------------------------------------------- */

struct checking {
    struct outlet_config *config;
    struct errs *errs;
};

static int refuse(const struct checking *checking, const struct outlet *outlet, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(const struct checking *checking, const struct outlet *outlet, const char *format, ...)
{
    char where[ERR_WHERE_MAX], text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return errs_add(checking->errs, ERR_INPUT, node_where(&checking->config->document, outlet->node, where, sizeof(where)), "outlet '%s': %s",
                    outlet->name, text);
}

/* One line, its end taken off. Its text is never quoted. */
static int take_secret(const struct checking *checking, const struct outlet *outlet, const char *file, const char *env, char *text, size_t size)
{
    const char *value = env ? getenv(env) : NULL;
    struct buf content;
    size_t length;
    int result = 0;

    if (!file && !env)
        return 0;
    if (file && env)
        return refuse(checking, outlet, "a secret comes from a file or from the environment: '%s' and '%s' are both given", file, env);
    if (env && !value)
        return refuse(checking, outlet, "the environment has no '%s'", env);
    buf_init(&content, size - 1);
    if (value)
        buf_puts(&content, value);
    else
        result = buf_read_file(&content, file);
    length = content.length;
    while (length && isspace((unsigned char)content.data[length - 1]))
        length--;
    if (result < 0)
        refuse(checking, outlet, "%s: %s", file, strerror(-result));
    else if (content.failed || !length || memchr(content.data, '\n', length) || memchr(content.data, '\r', length) || memchr(content.data, '\0', length))
        result = refuse(checking, outlet, "%s%s holds no single line that could be a secret", file ? file : "the variable ", file ? "" : env);
    else
        snprintf(text, size, "%.*s", (int)length, content.data);
    if (content.data && content.capacity)
        explicit_bzero(content.data, content.length);
    buf_done(&content);
    return result < 0 ? -EINVAL : 0;
}

static int take_url(const struct checking *checking, struct outlet *outlet)
{
    int given = !!outlet->url_text + !!outlet->url_file + !!outlet->url_env;
    size_t length;

    if (given != 1)
        return refuse(checking, outlet, "needs one of url, url-file and url-env");
    if (outlet->url_text && strlen(outlet->url_text) >= sizeof(outlet->url))
        return refuse(checking, outlet, "its URL is too long");
    if (outlet->url_text)
        snprintf(outlet->url, sizeof(outlet->url), "%s", outlet->url_text);
    else if (take_secret(checking, outlet, outlet->url_file, outlet->url_env, outlet->url, sizeof(outlet->url)) < 0)
        return -EINVAL;
    if (strncmp(outlet->url, "http://", 7) != 0 && strncmp(outlet->url, "https://", 8) != 0)
        return refuse(checking, outlet, "its URL is no http:// or https:// address");
    length = strlen(outlet->url);
    while (length && outlet->url[length - 1] == '/')
        outlet->url[--length] = '\0';
    return 0;
}

/* ---- what tables cannot say -------------------------------------------------------------------------------------------------- */

static int take_moments(const struct checking *checking, struct outlet *outlet)
{
    outlet->moments = outlet->on.count ? 0 : outlet->kind == OUTLET_SLACK ? 1U << MOMENT_ENDED : ((1U << MOMENTS) - 1) & ~(1U << MOMENT_FAILED);
    for (size_t i = 0; i < outlet->on.count; i++) {
        const char *rest = OUTLET_MOMENT_WORDS, *item = outlet->on.items[i];
        unsigned bit = 0;
        size_t length = strlen(item);

        while (*rest && (strncmp(rest, item, length) != 0 || (rest[length] && rest[length] != ' '))) {
            rest += strcspn(rest, " ");
            rest += *rest == ' ';
            bit++;
        }
        if (!*rest || !length)
            return refuse(checking, outlet, "on: '%s' is none of: %s", item, OUTLET_MOMENT_WORDS);
        outlet->moments |= 1U << bit;
    }
    return 0;
}

static int check_outlet(const struct checking *checking, struct outlet *outlet)
{
    bool hooks = outlet->kind == OUTLET_WEBHOOK || outlet->kind == OUTLET_SLACK, alerts = outlet->kind == OUTLET_ALERTMANAGER;
    int result = take_url(checking, outlet);
    struct matcher matcher;

    if (strlen(outlet->name) >= OUTLET_NAME_MAX || strspn(outlet->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(outlet->name))
        result = refuse(checking, outlet, "a name of letters, digits, _ and -, at most 47 of them, is expected");
    result |= take_secret(checking, outlet, outlet->token_file, outlet->token_env, outlet->token, sizeof(outlet->token));
    result |= take_secret(checking, outlet, outlet->secret_file, outlet->secret_env, outlet->secret, sizeof(outlet->secret));
    result |= take_moments(checking, outlet);
    if (outlet->on.count && !hooks)
        result |= refuse(checking, outlet, "'on' is for webhook and slack");
    if (outlet->secret[0] && outlet->kind != OUTLET_WEBHOOK)
        result |= refuse(checking, outlet, "a secret to sign with is for webhook");
    if ((outlet->silence.count || outlet->alert) && !alerts)
        result |= refuse(checking, outlet, "'silence' and 'alert' are for alertmanager");
    if (alerts && !outlet->silence.count && !outlet->alert)
        result |= refuse(checking, outlet, "needs matchers to silence, or alert: true");
    if ((outlet->dashboard || outlet->tags.count) && outlet->kind != OUTLET_GRAFANA)
        result |= refuse(checking, outlet, "'dashboard' and 'tags' are for grafana");
    for (size_t i = 0; i < outlet->silence.count; i++)
        if (matcher_parse(outlet->silence.items[i], &matcher) < 0)
            result |= refuse(checking, outlet, "silence: found '%s', expected " MATCHER_EXAMPLES, outlet->silence.items[i]);
    return result ? -EINVAL : 0;
}

static int check_egress(struct outlet_config *config, const struct section_reader *reader, const struct node *node)
{
    struct egress_keys keys = { .loopback = LOOPBACK_CAPTURES, .drain = 10 * SECOND, .queue = 1000 };
    char where[ERR_WHERE_MAX];

    if (node && section_read(reader, &egress_section, node, &keys) < 0)
        return -EINVAL;
    config->drain = keys.drain;
    config->queue = keys.queue;
    for (size_t i = 0; i < keys.allow.count; i++)
        if (i == EGRESS_ALLOWED_MAX || egress_network_parse(keys.allow.items[i], &config->egress.allowed[i]) < 0)
            return errs_add(reader->errs, ERR_INPUT, node_where(reader->document, node, where, sizeof(where)),
                            "allow: found '%s', expected an address or a network such as 10.0.0.0/8, %d at most", keys.allow.items[i], EGRESS_ALLOWED_MAX);
    config->egress.allowed_count = keys.allow.count;
    config->captures_egress = config->egress;
    config->egress.loopback = keys.loopback == LOOPBACK_ALL;
    config->captures_egress.loopback = keys.loopback >= LOOPBACK_CAPTURES;
    return 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------- */

static int take(struct outlet_config *config, struct errs *errs)
{
    struct variables variables = { .document = &config->document };
    const struct section_reader reader = { &config->document, &variables, errs };
    const struct checking checking = { config, errs };
    const struct node *egress = node_member(config->document.root, "egress");
    char where[ERR_WHERE_MAX];
    int result;

    if (!egress && !node_member(config->document.root, "outlets"))
        return errs_add(errs, ERR_INPUT, node_where(&config->document, config->document.root, where, sizeof(where)), "there is no section 'outlets'");
    result = section_read(&reader, &file_section, config->document.root, config);
    result |= check_egress(config, &reader, egress);
    if (config->outlets.count > OUTLETS_MAX)
        return errs_add(errs, ERR_INPUT, config->document.file, "%zu outlets are more than %d", config->outlets.count, OUTLETS_MAX);
    for (size_t i = 0; i < config->outlets.count; i++)
        result |= check_outlet(&checking, (struct outlet *)config->outlets.items + i);
    return result ? -EINVAL : 0;
}

static int give(struct outlet_config *config, int result, struct errs *errs, struct outlet_config **ret_config)
{
    if (result == 0)
        result = take(config, errs);
    if (result < 0) {
        outlet_config_free(config);
        return result;
    }
    *ret_config = config;
    return 0;
}

int outlet_config_read(const char *file, struct errs *errs, struct outlet_config **ret_config)
{
    struct outlet_config *config = calloc(1, sizeof(*config));

    if (!config)
        return errs_add(errs, ERR_INTERNAL, file, "out of memory");
    return give(config, document_read(&config->document, file, errs), errs, ret_config);
}

int outlet_config_parse(const char *name, const char *text, size_t length, struct errs *errs, struct outlet_config **ret_config)
{
    struct outlet_config *config = calloc(1, sizeof(*config));

    if (!config)
        return errs_add(errs, ERR_INTERNAL, name, "out of memory");
    return give(config, document_parse(&config->document, name, text, length, false, errs), errs, ret_config);
}

struct outlet_config *outlet_config_free(struct outlet_config *config)
{
    struct outlet *outlets;

    if (!config)
        return NULL;
    outlets = config->outlets.items;
    for (size_t i = 0; i < config->outlets.count; i++) {
        explicit_bzero(outlets[i].url, sizeof(outlets[i].url));
        explicit_bzero(outlets[i].token, sizeof(outlets[i].token));
        explicit_bzero(outlets[i].secret, sizeof(outlets[i].secret));
    }
    document_done(&config->document);
    free(config);
    return NULL;
}

const struct outlet *outlet_find(const struct outlet_config *config, const char *name)
{
    const struct outlet *outlets = config->outlets.items;

    for (size_t i = 0; i < config->outlets.count; i++)
        if (!strcmp(outlets[i].name, name))
            return &outlets[i];
    return NULL;
}

const char *outlet_kind_name(enum outlet_kind kind)
{
    static const char *const names[OUTLET_KINDS] = { "webhook", "slack", "grafana", "alertmanager", "otlp" };

    return names[kind];
}

/* ---- showing -------------------------------------------------------------------------------------------------------------------- */

char *outlet_shown(const struct outlet *outlet, char *text, size_t size)
{
    const char *host = strstr(outlet->url, "://"), *end, *at;

    if (!host) {
        snprintf(text, size, "?");
        return text;
    }
    host += 3;
    end = host + strcspn(host, "/?#");
    at = memrchr(host, '@', (size_t)(end - host));
    snprintf(text, size, "%.*s%.*s", (int)(host - outlet->url), outlet->url, (int)(end - (at ? at + 1 : host)), at ? at + 1 : host);
    return text;
}

static void blank(char *text, const char *secret)
{
    static const char mark[] = "[secret]";
    size_t length = strlen(secret);

    if (length < 4)
        return;
    for (char *found; (found = strstr(text, secret));) {
        size_t rest = strlen(found + length), shown = length < sizeof(mark) - 1 ? length : sizeof(mark) - 1;

        memcpy(found, mark, shown);
        memmove(found + shown, found + length, rest + 1);
    }
}

void outlet_redact(const struct outlet *outlet, char *text)
{
    const char *path = strstr(outlet->url, "://");

    blank(text, outlet->secret);
    blank(text, outlet->token);
    if (path)
        path = path + 3 + strcspn(path + 3, "/?#");
    if (path && *path && (outlet->url_file || outlet->url_env))
        blank(text, path);
}
