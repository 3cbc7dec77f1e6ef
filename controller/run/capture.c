/* Capture: connects of programs that nobody told of a proxy go through one all the same. Here it is decided how; the guardian
 * applies it. */
#include "controller/run/run_priv.h"
#include "controller/run/ready.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/capture.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_MAX = 1024, RULES_TEXT_MAX = 64 << 10 };

static const struct proxy *proxy_at(const struct playbook *playbook, size_t index)
{
    return (const struct proxy *)playbook->proxies.items + index;
}

bool run_may_redirect(const struct playbook *playbook)
{
    bool may = false;

    for (size_t i = 0; i < playbook->proxies.count; i++)
        may |= proxy_at(playbook, i)->captures && proxy_at(playbook, i)->capture.via != CAPTURE_VIA_SHIM;
    return may;
}

/* ---- what is asked of the kernel ---------------------------------------------------------------------------------------- */

static int refuse(const struct playbook *playbook, const struct proxy *proxy, struct errs *errs, const char *what, const char *why)
{
    char where[ERR_WHERE_MAX];

    return errs_add(errs, ERR_WORLD, node_where(&playbook->document, proxy->node, where, sizeof(where)), "proxy '%s' cannot capture: %s%s",
                    proxy->name, what, why);
}

static int find_user(const char *text, uint32_t *ret_uid)
{
    const struct passwd *user;
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text >= '0' && *text <= '9' && !*end && number < UINT32_MAX) {
        *ret_uid = (uint32_t)number;
        return 0;
    }
    user = getpwnam(text);
    if (!user)
        return -ENOENT;
    *ret_uid = user->pw_uid;
    return 0;
}

/* The group of a target that already runs, or "" for one that the guardian will spawn. */
static int find_target_group(const struct playbook *playbook, const struct proxy *proxy, struct capture_spec *spec, struct errs *errs)
{
    const struct target *target = playbook_target(playbook, proxy->capture.target);

    snprintf(spec->target, sizeof(spec->target), "%s", target->name);
    if (target->cgroup)
        snprintf(spec->group, sizeof(spec->group), "%s", target->cgroup);
    else if (target->unit && ready_unit_group(target->unit, spec->group) < 0)
        return refuse(playbook, proxy, errs, "systemd knows no control group of the unit ", target->unit);
    return 0;
}

static int find_owner(const struct playbook *playbook, const struct proxy *proxy, struct capture_spec *spec, struct errs *errs)
{
    const struct capture *capture = &proxy->capture;

    if (capture->uid) {
        spec->whose = CAPTURE_USER;
        return find_user(capture->uid, &spec->uid) < 0 ? refuse(playbook, proxy, errs, "there is no user ", capture->uid) : 0;
    }
    if (!capture->unit && !capture->cgroup && !capture->target)
        return 0;
    spec->whose = CAPTURE_GROUP;
    if (capture->target)
        return find_target_group(playbook, proxy, spec, errs);
    if (capture->cgroup)
        snprintf(spec->group, sizeof(spec->group), "%s", capture->cgroup);
    else if (ready_unit_group(capture->unit, spec->group) < 0)
        return refuse(playbook, proxy, errs, "systemd knows no control group of the unit ", capture->unit);
    return 0;
}

static int describe(const struct playbook *playbook, const struct proxy *proxy, uint16_t port, struct capture_spec *ret_spec, struct errs *errs)
{
    const struct capture *capture = &proxy->capture;
    struct capture_spec spec = { .listen_port = port, .port_count = (uint16_t)capture->port_count,
                                 .network_count = (uint16_t)capture->network_count };

    snprintf(spec.proxy, sizeof(spec.proxy), "%s", proxy->name);
    memcpy(spec.ports, capture->ports, sizeof(spec.ports));
    memcpy(spec.networks, capture->networks, sizeof(spec.networks));
    if (find_owner(playbook, proxy, &spec, errs) < 0)
        return -EINVAL;
    *ret_spec = spec;
    return 0;
}

/* ---- how ------------------------------------------------------------------------------------------------------------------- */

/* A bare process shares its control group with others. */
static int may_by_nftables(const struct target *target, struct buf *why)
{
    int result = capture_is_possible(why);

    if (result == 0 && target && target->pid != ABSENT) {
        buf_puts(why, "the kernel's rules cannot tell a bare process from its neighbours; give its unit or cgroup");
        result = -ENOTSUP;
    }
    return result;
}

static int choose(const struct playbook *playbook, const struct proxy *proxy, struct capture_run *ret_choice, struct errs *errs)
{
    const struct target *target = proxy->capture.target ? playbook_target(playbook, proxy->capture.target) : NULL;
    struct capture_run choice = { .via = CAPTURE_VIA_NFTABLES, .why = "nftables may be used, and reaches every program, static ones too" };
    struct buf why;
    int result = 0;

    buf_init(&why, WHY_MAX);
    if (proxy->capture.via == CAPTURE_VIA_SHIM) {
        choice = (struct capture_run){ .via = CAPTURE_VIA_SHIM, .why = "the playbook says so" };
    } else if (may_by_nftables(target, &why) < 0) {
        choice.via = CAPTURE_VIA_SHIM;
        snprintf(choice.why, sizeof(choice.why), "%.150s", why.data);
        if (proxy->capture.via == CAPTURE_VIA_NFTABLES || !target)
            result = refuse(playbook, proxy, errs, why.data, target ? "" : "; the shim would do for a target");
    }
    buf_done(&why);
    *ret_choice = choice;
    return result;
}

/* The page of a target that already runs is the one it has mapped. */
static int find_page(const struct run *run, const struct proxy *proxy, struct capture_run *choice)
{
    const struct target *target = playbook_target(run->playbook, proxy->capture.target);
    pid_t pid;

    if (target->command.count) {
        run_page_name(run, target, choice->page);
        return 0;
    }
    if (ready_find_running(target, &pid) == 0 && ready_find_page(&run->registry, pid, choice->page, sizeof(choice->page)) == 0)
        return 0;
    return refuse(run->playbook, proxy, run->errs, "the target runs without the shim; start it by `perturb exec -- ...`. ", choice->why);
}

int run_choose_captures(struct run *run)
{
    int result = 0;

    for (size_t i = 0; i < run->playbook->proxies.count; i++) {
        const struct proxy *proxy = proxy_at(run->playbook, i);

        if (!proxy->captures)
            continue;
        if (choose(run->playbook, proxy, &run->captures[i], run->errs) < 0 ||
            (run->captures[i].via == CAPTURE_VIA_SHIM && find_page(run, proxy, &run->captures[i]) < 0))
            result = -EINVAL;
    }
    return result;
}

/* ---- by the shim ------------------------------------------------------------------------------------------------------------ */

int run_capture_spec(const struct run *run, size_t proxy, struct proxy_spec *spec)
{
    char part[CONTROL_NAME_MAX + 8];

    if (run->captures[proxy].via == CAPTURE_VIA_NFTABLES)
        spec->flags |= PROXY_CAPTURES;
    if (run->captures[proxy].via != CAPTURE_VIA_SHIM)
        return 0;
    spec->flags |= PROXY_DETOURS;
    snprintf(part, sizeof(part), "pages/%s", run->captures[proxy].page);
    spec->detours_offset = CONTROL_DETOURS_OFFSET;
    spec->linger_ns = (uint64_t)run->playbook->lease;
    return registry_path(&run->registry, part, spec->detours, sizeof(spec->detours));
}

bool run_captures_by_shim(const struct run *run, const struct target *target)
{
    for (size_t i = 0; i < run->playbook->proxies.count; i++)
        if (run->captures[i].via == CAPTURE_VIA_SHIM && !strcmp(proxy_at(run->playbook, i)->capture.target, target->name))
            return true;
    return false;
}

static uint16_t port_of(const struct proxy_status *status)
{
    const char *colon = strrchr(status->spec.listen, ':');

    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

/* Every port to every network; what does not fit was refused by run_capture. */
static size_t add_redirects(const struct capture *capture, uint16_t port, struct control_redirect *list, size_t count)
{
    for (size_t i = 0; i < capture->port_count; i++)
        for (size_t j = 0; j < (capture->network_count ? capture->network_count : 1) && count < CONTROL_REDIRECTS_MAX; j++) {
            struct address_match match = { .present = 1 };

            if (capture->network_count)
                match = capture->networks[j];
            match.port_first = match.port_last = capture->ports[i];
            list[count++] = (struct control_redirect){ .match = match, .port = port, .detours = 1 };
        }
    return count;
}

size_t run_shim_redirects(const struct run *run, const struct target *target, struct control_redirect *list)
{
    size_t count = 0;

    for (size_t i = 0; i < run->playbook->proxies.count && run->wire.fd >= 0; i++)
        if (run->captures[i].via == CAPTURE_VIA_SHIM && !strcmp(proxy_at(run->playbook, i)->capture.target, target->name))
            count = add_redirects(&proxy_at(run->playbook, i)->capture, port_of(&run->proxies[i]), list, count);
    return count;
}

void run_end_shim_captures(struct run *run)
{
    for (size_t i = 0; i < run->playbook->targets.count; i++)
        if (run->targets[i].page && run_captures_by_shim(run, run->targets[i].target))
            run_arm_page(run, &run->targets[i]);
}

/* ---- in force ----------------------------------------------------------------------------------------------------------------- */

static int ask_guardian(struct run *run, const struct capture_spec *specs, size_t count)
{
    struct message answer = { .payload = NULL };
    int result = executor_ask(&run->guardian, MESSAGE_CAPTURE, 0, 0, specs, count * sizeof(*specs), EXECUTOR_TIMEOUT_MS, &answer);

    if (result < 0)
        errs_add(run->errs, ERR_WORLD, run->playbook->document.file, "the capture cannot be put in place: %s%s%s", strerror(-result),
                 answer.payload ? ": " : "", answer.payload ? (const char *)answer.payload : "");
    message_done(&answer);
    return result;
}

static bool fits_the_shim(const struct capture *capture)
{
    return capture->port_count * (capture->network_count ? capture->network_count : 1) <= CONTROL_REDIRECTS_MAX / 2;
}

static int collect(struct run *run, struct capture_spec *specs, size_t *ret_count)
{
    size_t count = 0;

    for (size_t i = 0; i < run->playbook->proxies.count; i++) {
        const struct proxy *proxy = proxy_at(run->playbook, i);

        if (run->captures[i].via == CAPTURE_VIA_SHIM && !fits_the_shim(&proxy->capture))
            return refuse(run->playbook, proxy, run->errs, "more ports and networks than the shim looks at", "");
        if (run->captures[i].via != CAPTURE_VIA_NFTABLES)
            continue;
        if (count == CAPTURES_MAX)
            return refuse(run->playbook, proxy, run->errs, "there are too many that do", "");
        if (describe(run->playbook, proxy, port_of(&run->proxies[i]), &specs[count++], run->errs) < 0)
            return -EINVAL;
    }
    *ret_count = count;
    return 0;
}

int run_capture(struct run *run)
{
    static const char *const names[] = { "", "nftables", "shim" };
    struct capture_spec *specs = calloc(CAPTURES_MAX, sizeof(*specs));
    size_t count = 0;
    int result = specs ? collect(run, specs, &count) : -ENOMEM;

    if (result == 0 && count)
        result = ask_guardian(run, specs, count);
    for (size_t i = 0; i < run->playbook->proxies.count && result == 0; i++)
        if (proxy_at(run->playbook, i)->captures)
            event_log_note(&run->log, EVENT_capture_begun, proxy_at(run->playbook, i)->name, names[run->captures[i].via], 0, 0);
    free(specs);
    return result;
}

/* ---- told ------------------------------------------------------------------------------------------------------------------- */

/* "tcp 6379, 6380 to 10.0.0.0/8 of target shop". */
static void put_words(const struct capture *capture, struct buf *text)
{
    const char *whose = capture->target ? "target" : capture->uid ? "user" : capture->unit ? "unit" : "group";
    const char *who = capture->target ? capture->target : capture->uid ? capture->uid : capture->unit ? capture->unit : capture->cgroup;

    for (size_t i = 0; i < capture->port_count; i++)
        buf_printf(text, "%s%u", i ? ", " : "tcp ", capture->ports[i]);
    for (size_t i = 0; i < capture->network_count; i++)
        buf_printf(text, "%s%s", i ? ", " : " to ", capture->to.items[i]);
    if (who)
        buf_printf(text, " of %s %s", whose, who);
    else
        buf_puts(text, " of everybody here");
}

void run_describe_capture(const struct run *run, size_t proxy, cJSON *object)
{
    static const char *const names[] = { "none", "nftables", "shim" };
    cJSON *capture = cJSON_AddObjectToObject(object, "capture");
    struct buf words;

    buf_init(&words, WHY_MAX);
    put_words(&proxy_at(run->playbook, proxy)->capture, &words);
    cJSON_AddStringToObject(object, "upstream", "each connection's own destination");
    cJSON_AddStringToObject(capture, "takes", words.data);
    cJSON_AddStringToObject(capture, "via", names[run->captures[proxy].via]);
    cJSON_AddStringToObject(capture, "why", run->captures[proxy].why);
    buf_done(&words);
}

/* Where a spawned target's group would lie. */
static void imagine_group(struct capture_spec *spec)
{
    char run_group[GROUP_PATH_MAX];

    if (spec->whose == CAPTURE_GROUP && !spec->group[0] && group_locate(NULL, "perturb-RUN", run_group) == 0)
        group_locate(run_group, spec->target, spec->group);
}

/* Returns how many specs it filled. */
static size_t preview_one(const struct playbook *playbook, const struct proxy *proxy, struct capture_spec *spec, struct errs *errs)
{
    struct capture_run choice;
    struct buf words;

    buf_init(&words, WHY_MAX);
    put_words(&proxy->capture, &words);
    printf("  proxy  %-12s captures %s, each on to where it was going\n", proxy->name, words.data);
    buf_done(&words);
    if (choose(playbook, proxy, &choice, errs) < 0)
        return 0;
    printf("             by %s: %s\n", choice.via == CAPTURE_VIA_SHIM ? "the shim" : "nftables", choice.why);
    if (choice.via == CAPTURE_VIA_SHIM) {
        printf("             undone by its lease, and with the target's control page, from the journal\n");
        return 0;
    }
    if (describe(playbook, proxy, 0, spec, errs) < 0)
        return 0;
    imagine_group(spec);
    return 1;
}

static void print_rules(const struct playbook *playbook, const struct capture_spec *specs, size_t count)
{
    struct buf text, why;
    char *rest = NULL;

    buf_init(&text, RULES_TEXT_MAX);
    buf_init(&why, WHY_MAX);
    if (capture_print("RUN", specs, count, 2 * (uint64_t)playbook->lease, &text, &why) < 0)
        printf("             %s\n", why.data);
    for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        printf("             | %s\n", line);
    printf("             undone from the journal: the table is deleted; the kernel ends it too, two leases after the run falls silent\n"
           "             connections that are open before are not captured; captured ones live on through the proxy\n");
    buf_done(&text);
    buf_done(&why);
}

void run_preview_captures(const struct playbook *playbook, struct errs *errs)
{
    struct capture_spec *specs = calloc(CAPTURES_MAX, sizeof(*specs));
    size_t count = 0;

    for (size_t i = 0; specs && i < playbook->proxies.count && count < CAPTURES_MAX; i++)
        if (proxy_at(playbook, i)->captures)
            count += preview_one(playbook, proxy_at(playbook, i), &specs[count], errs);
    if (count)
        print_rules(playbook, specs, count);
    free(specs);
}
