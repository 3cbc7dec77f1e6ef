/* The protected set and the opt-in. */
#include "controller/serve/core/protect.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "shims/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { HOST_MAX = 256, TEXT_BYTES_MAX = 1 << 20, CGROUP_MAX = 1024 };

struct judge {
    const struct protect *protect;
    const struct playbook *playbook;
    struct errs *errs;
    char group[CGROUP_MAX]; /* of this process, below the hierarchy's root; "" unknown */
};

static int refuse(const struct judge *judge, const struct node *node, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(const struct judge *judge, const struct node *node, const char *format, ...)
{
    char where[ERR_WHERE_MAX] = "", text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (node)
        node_where(&judge->playbook->document, node, where, sizeof(where));
    errs_add(judge->errs, ERR_INPUT, where, "%s", text);
    return -EPERM;
}

/* ---- addresses ---------------------------------------------------------------------------------------------------------------- */

struct place {
    char host[HOST_MAX]; /* "" is any */
    unsigned long port;  /* 0: none */
};

/* "9090", "HOST:PORT", "[::1]:9090", "http://HOST:PORT/x", "postgresql://user@HOST/db". */
static struct place read_place(const char *text)
{
    const char *scheme = strstr(text, "://"), *at, *colon;
    struct place place = { .host = "" };
    char authority[HOST_MAX * 2];
    size_t length;

    place.port = !scheme ? 0 : !strncmp(text, "https", 5) ? 443 : !strncmp(text, "http", 4) ? 80 : 0;
    text = scheme ? scheme + 3 : text;
    snprintf(authority, sizeof(authority), "%.*s", (int)strcspn(text, "/?#"), text);
    at = strrchr(authority, '@');
    text = at ? at + 1 : authority;
    colon = strrchr(text, ':');
    if (!colon && !scheme && text[strspn(text, "0123456789")] == '\0') {
        place.port = strtoul(text, NULL, 10);
        return place;
    }
    length = colon && !strchr(colon, ']') ? (size_t)(colon - text) : strlen(text);
    if (colon && !strchr(colon, ']'))
        place.port = strtoul(colon + 1, NULL, 10);
    if (length > 1 && text[0] == '[')
        text++, length -= 2;
    snprintf(place.host, sizeof(place.host), "%.*s", (int)length, text);
    return place;
}

/* Names of this machine that a playbook may use for one and the same listener. */
static bool is_local(const char *host)
{
    return !host[0] || !strncmp(host, "127.", 4) || !strcmp(host, "localhost") || !strcmp(host, "::1") || !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
}

static bool places_meet(const struct place *a, const struct place *b)
{
    return a->port && a->port == b->port && (!a->host[0] || !b->host[0] || !strcmp(a->host, b->host) || (is_local(a->host) && is_local(b->host)));
}

/* NULL, or what it is. */
static const char *protected_place(const struct judge *judge, const struct place *place)
{
    const struct settings *settings = judge->protect->settings;
    struct place other = read_place(judge->protect->listen);

    if (places_meet(&other, place))
        return "the controller's own address";
    for (size_t i = 0; i < settings->metrics.count; i++) {
        other = read_place(settings->metrics.items[i]);
        if (places_meet(&other, place))
            return "the metrics path";
    }
    for (size_t i = 0; i < settings->protected.ports.count; i++) {
        other = read_place(settings->protected.ports.items[i]);
        if (places_meet(&other, place))
            return "a protected port";
    }
    return NULL;
}

static int judge_address(const struct judge *judge, const struct node *node, const char *what, const char *address)
{
    struct place place = read_place(address);
    const char *why = protected_place(judge, &place);

    return why ? refuse(judge, node, "%s is %s, %s: it is never disturbed", what, address, why) : 0;
}

/* ---- processes, units, groups --------------------------------------------------------------------------------------------------- */

/* The last line of proc(5) cgroup is that of version 2, or one of version 1: the path is behind the second colon. */
static void find_own_group(struct judge *judge)
{
    struct buf text;
    const char *line, *path;

    judge->group[0] = '\0';
    buf_init(&text, TEXT_BYTES_MAX);
    if (buf_read_file(&text, "/proc/self/cgroup") == 0) {
        line = strstr(text.data, "0::");
        line = line ? line : text.data;
        path = strchr(line, ':') ? strchr(strchr(line, ':') + 1, ':') : NULL;
        if (path)
            snprintf(judge->group, sizeof(judge->group), "%.*s", (int)strcspn(path + 1, "\n"), path + 1);
    }
    buf_done(&text);
}

static bool is_own_process(pid_t pid)
{
    for (pid_t at = getpid(); at > 0; at = process_parent(at))
        if (at == pid)
            return true;
    return false;
}

static bool same_unit(const char *a, const char *b)
{
    size_t a_length = strlen(a), b_length = strlen(b);
    static const char suffix[] = ".service";

    if (a_length > 8 && !strcmp(a + a_length - 8, suffix))
        a_length -= 8;
    if (b_length > 8 && !strcmp(b + b_length - 8, suffix))
        b_length -= 8;
    return a_length == b_length && !strncmp(a, b, a_length);
}

static int judge_unit(const struct judge *judge, const struct node *node, const char *unit)
{
    const struct text_list *units = &judge->protect->settings->protected.units;
    const char *own = strrchr(judge->group, '/');

    if (own && strstr(own, ".service") && same_unit(own + 1, unit))
        return refuse(judge, node, "unit %s is the controller itself: it is never disturbed", unit);
    for (size_t i = 0; i < units->count; i++)
        if (same_unit(units->items[i], unit))
            return refuse(judge, node, "unit %s is protected: it is never disturbed", unit);
    return 0;
}

/* A group that the controller lives in, near or far. */
static int judge_group(const struct judge *judge, const struct node *node, const char *group)
{
    static const char mount[] = "/sys/fs/cgroup";
    const char *path = !strncmp(group, mount, sizeof(mount) - 1) ? group + sizeof(mount) - 1 : group;
    size_t length;

    path += path[0] == '/';
    length = strlen(path);
    while (length && path[length - 1] == '/')
        length--;
    if (judge->group[0] && (!length || (!strncmp(judge->group + 1, path, length) && (!judge->group[1 + length] || judge->group[1 + length] == '/'))))
        return refuse(judge, node, "control group %s holds the controller itself: it is never disturbed", group);
    return 0;
}

static int judge_pid(const struct judge *judge, const struct target *target)
{
    const struct text_list *pids = &judge->protect->settings->protected.pids;

    if (is_own_process((pid_t)target->pid))
        return refuse(judge, target->node, "target '%s' is process %lld, the controller itself or one it stands under", target->name, (long long)target->pid);
    for (size_t i = 0; i < pids->count; i++)
        if (strtoll(pids->items[i], NULL, 10) == target->pid)
            return refuse(judge, target->node, "target '%s' is process %lld, which is protected", target->name, (long long)target->pid);
    return 0;
}

/* ---- paths ------------------------------------------------------------------------------------------------------------------------ */

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 1 && directory[length - 1] == '/')
        length--;
    return length && !strncmp(path, directory, length) && (!path[length] || path[length] == '/' || length == 1);
}

static bool on_file_system_of(const char *path, const char *directory)
{
    struct stat a, b;

    return stat(path, &a) == 0 && stat(directory, &b) == 0 && a.st_dev == b.st_dev;
}

static int judge_path(const struct judge *judge, const struct step *step)
{
    const char *path = step->spec.rule.selector.path;
    const struct text_list *paths = &judge->protect->settings->protected.paths;
    bool fills = step->layer == LAYER_HOST;

    if (!path[0])
        return 0;
    if (is_below(path, judge->protect->data) || is_below(path, judge->protect->registry))
        return refuse(judge, step->node, "%s is the controller's store: it is never disturbed", path);
    if (fills && (on_file_system_of(path, judge->protect->data) || on_file_system_of(path, judge->protect->registry)))
        return refuse(judge, step->node, "%s lies on the file system of the controller's store, which must not be filled", path);
    for (size_t i = 0; i < paths->count; i++)
        if (is_below(path, paths->items[i]) || (fills && on_file_system_of(path, paths->items[i])))
            return refuse(judge, step->node, "%s is protected with %s: it is never disturbed", path, paths->items[i]);
    return 0;
}

/* ---- opt-in ------------------------------------------------------------------------------------------------------------------------ */

static bool environment_agrees(pid_t pid)
{
    char path[64];
    struct buf text;
    bool agrees = false;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    buf_init(&text, TEXT_BYTES_MAX);
    if (buf_read_file(&text, path) == 0)
        for (size_t at = 0; at < text.length && !agrees; at += strlen(text.data + at) + 1)
            agrees = !strcmp(text.data + at, "PERTURB_OPT_IN=1") || !strcmp(text.data + at, "PERTURB_OPT_IN=yes");
    buf_done(&text);
    return agrees;
}

/* A file that others may write says nothing. */
static bool file_agrees(const struct judge *judge, const char *kind, const char *value)
{
    const char *path = judge->protect->settings->opt_in_file ? judge->protect->settings->opt_in_file : SETTINGS_OPT_IN_FILE;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    struct buf text;
    char wanted[CGROUP_MAX];
    bool agrees = false;

    if (fd < 0 || fstat(fd, &status) < 0 || (status.st_uid != 0 && status.st_uid != geteuid()) || (status.st_mode & 022))
        return false;
    snprintf(wanted, sizeof(wanted), "%s%s%s", kind, value[0] ? " " : "", value);
    buf_init(&text, TEXT_BYTES_MAX);
    if (buf_read_fd(&text, fd) == 0)
        for (const char *line = text.data; *line && !agrees; line += strcspn(line, "\n"), line += *line == '\n')
            agrees = strcspn(line, "\n") == strlen(wanted) && !strncmp(line, wanted, strlen(wanted));
    buf_done(&text);
    return agrees;
}

static int want_line(const struct judge *judge, const struct node *node, const char *kind, const char *value)
{
    const char *path = judge->protect->settings->opt_in_file ? judge->protect->settings->opt_in_file : SETTINGS_OPT_IN_FILE;

    if (file_agrees(judge, kind, value))
        return 0;
    return refuse(judge, node, "it has not agreed to be disturbed: opt-in is required, and %s (not writable by others) has no line '%s%s%s'", path, kind,
                  value[0] ? " " : "", value);
}

static int judge_opt_in_of_target(const struct judge *judge, const struct target *target)
{
    int result = 0;

    if (target->pid != ABSENT && !environment_agrees((pid_t)target->pid))
        result = refuse(judge, target->node, "process %lld has not agreed to be disturbed: opt-in is required, and its environment has no PERTURB_OPT_IN=1",
                        (long long)target->pid);
    if (target->unit)
        result |= want_line(judge, target->node, "unit", target->unit);
    if (target->cgroup)
        result |= want_line(judge, target->node, "cgroup", target->cgroup);
    if (target->address)
        result |= want_line(judge, target->node, "address", target->address);
    return result;
}

static int judge_opt_in(const struct judge *judge)
{
    const struct target *targets = judge->playbook->targets.items;
    const struct proxy *proxies = judge->playbook->proxies.items;
    const struct step *steps = judge->playbook->method.items;
    char port[16];
    int result = 0;

    for (size_t i = 0; i < judge->playbook->targets.count; i++)
        result |= judge_opt_in_of_target(judge, &targets[i]);
    for (size_t i = 0; i < judge->playbook->proxies.count; i++)
        for (size_t j = 0; proxies[i].captures && j < proxies[i].capture.port_count; j++) {
            snprintf(port, sizeof(port), "%u", (unsigned)proxies[i].capture.ports[j]);
            result |= want_line(judge, proxies[i].node, "port", port);
        }
    for (size_t i = 0; i < judge->playbook->method.count; i++)
        if (steps[i].layer == LAYER_HOST && !steps[i].target)
            result |= want_line(judge, steps[i].node, "host", "");
    return result ? -EPERM : 0;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------------ */

static int judge_target(const struct judge *judge, const struct target *target)
{
    int result = target->pid != ABSENT ? judge_pid(judge, target) : 0;

    if (target->unit)
        result |= judge_unit(judge, target->node, target->unit);
    if (target->cgroup)
        result |= judge_group(judge, target->node, target->cgroup);
    if (target->address)
        result |= judge_address(judge, target->node, "the target", target->address);
    return result;
}

static int judge_proxy(const struct judge *judge, const struct proxy *proxy)
{
    int result = 0;

    if (!proxy->captures) {
        result = judge_address(judge, proxy->node, "the proxy's upstream", proxy->upstream);
        return result | judge_address(judge, proxy->node, "the proxy's own address", proxy->listen);
    }
    for (size_t i = 0; i < proxy->capture.port_count; i++) {
        struct place place = { .port = proxy->capture.ports[i] };
        const char *why = protected_place(judge, &place);

        if (why)
            result |= refuse(judge, proxy->node, "the capture takes port %lu, %s: it is never disturbed", place.port, why);
    }
    if (proxy->capture.unit)
        result |= judge_unit(judge, proxy->node, proxy->capture.unit);
    if (proxy->capture.cgroup)
        result |= judge_group(judge, proxy->node, proxy->capture.cgroup);
    return result;
}

static bool has_allowed_tag(const struct text_list *wanted, const struct text_list *tags)
{
    for (size_t i = 0; i < wanted->count; i++)
        for (size_t j = 0; j < tags->count; j++)
            if (!strcmp(wanted->items[i], tags->items[j]))
                return true;
    return !wanted->count;
}

static bool has_allowed_name(const struct text_list *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (fnmatch(patterns->items[i], name, 0) == 0)
            return true;
    return !patterns->count;
}

int protect_judge(const struct protect *protect, const char *name, const struct playbook *playbook, struct errs *errs)
{
    struct judge judge = { .protect = protect, .playbook = playbook, .errs = errs };
    const struct target *targets = playbook->targets.items;
    const struct proxy *proxies = playbook->proxies.items;
    const struct step *steps = playbook->method.items;
    int result = 0;

    find_own_group(&judge);
    if (!has_allowed_name(&protect->settings->allow.playbooks, name))
        result |= refuse(&judge, NULL, "serve.yaml (allow.playbooks) does not allow '%s'", name);
    if (!has_allowed_tag(&protect->settings->allow.tags, &playbook->tags))
        result |= refuse(&judge, NULL, "'%s' has none of the tags that serve.yaml allows", name);
    for (size_t i = 0; i < playbook->targets.count; i++)
        result |= judge_target(&judge, &targets[i]);
    for (size_t i = 0; i < playbook->proxies.count; i++)
        result |= judge_proxy(&judge, &proxies[i]);
    for (size_t i = 0; i < playbook->method.count; i++) {
        if (steps[i].spec.rule.to[0] && strchr(steps[i].spec.rule.to, ':'))
            result |= judge_address(&judge, steps[i].node, "the other end of the fault", steps[i].spec.rule.to);
        result |= judge_path(&judge, &steps[i]);
    }
    if (protect->settings->require_opt_in)
        result |= judge_opt_in(&judge);
    return result ? -EPERM : 0;
}
