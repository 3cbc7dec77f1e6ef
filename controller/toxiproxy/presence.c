/* The notice and the lever. */
#include "controller/toxiproxy/presence.h"

#include "controller/toxiproxy/log.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/clock.h"
#include "scenarios/playbook/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define TELL_STEP_NS (100 * NS_PER_MS) /* many changes in a row are told together */
#define LOOK_STEP_NS (1 * NS_PER_S)

static int watch_lever(const struct registry *registry)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0)
        return -1;
    if (inotify_add_watch(fd, registry->path, IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR) >= 0)
        return fd;
    close(fd);
    return -1;
}

void presence_begin(struct presence *presence)
{
    char why[REGISTRY_FILE_MAX];
    int result;

    *presence = (struct presence){ .registry.fd = -1, .notice.fd = -1, .watch_fd = -1 };
    result = registry_open(&presence->registry);
    if (result >= 0) {
        presence->watch_fd = watch_lever(&presence->registry);
        return;
    }
    presence->registry.fd = -1;
    log_line(LOG_LEVEL_WARN, "perturb ps, halt and panic do not reach this proxy", "error",
             registry_explain(result, why, sizeof(why)), NULL);
}

void presence_end(struct presence *presence)
{
    if (presence->registry.fd < 0)
        return;
    notice_remove(&presence->registry, &presence->notice);
    registry_close(&presence->registry);
    if (presence->watch_fd >= 0)
        close(presence->watch_fd);
    presence->watch_fd = -1;
}

bool presence_is_halted(const struct presence *presence)
{
    bool halted;

    if (presence->registry.fd < 0)
        return false;
    return lever_read(&presence->registry, &halted) < 0 || halted;
}

int presence_fd(const struct presence *presence)
{
    return presence->watch_fd;
}

void presence_drain(struct presence *presence)
{
    char events[4096];

    while (presence->watch_fd >= 0 && read(presence->watch_fd, events, sizeof(events)) > 0)
        continue;
}

/* ---- the notice ------------------------------------------------------------------------------------------------------- */

/* Names come from clients: what a terminal could take for more than text is shown as '?'. */
static void put_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        bool is_plain = (unsigned char)*text >= ' ' && *text != 0x7f;

        buf_append(out, is_plain ? text : "?", 1);
    }
}

static void put_toxic(struct buf *out, const struct proxy_config *proxy, const struct toxic *toxic)
{
    struct fault_spec spec = { .given_params = 0 };
    bool acts = toxic_rule(toxic, proxy->name, "", &spec.rule);
    char line[512];

    buf_puts(out, "    ");
    put_text(out, toxic->name);
    if (acts) /* its name is told already */
        snprintf(spec.rule.name, sizeof(spec.rule.name), "%s", fault_descs[spec.rule.fault].name);
    if (acts && !fault_spec_print(&spec, line, sizeof(line)))
        buf_printf(out, " = %s\n", line);
    else
        buf_printf(out, " = %s\n", toxic_type(toxic));
}

static bool put_proxies(struct buf *out, const struct model *model)
{
    bool armed = false;

    for (size_t i = 0; i < model->count; i++) {
        const struct proxy_config *proxy = model->proxies[i];

        buf_puts(out, "  ");
        put_text(out, proxy->name);
        buf_puts(out, "  ");
        put_text(out, proxy->listen);
        buf_puts(out, " -> ");
        put_text(out, proxy->upstream);
        buf_puts(out, proxy->enabled ? "\n" : "  (disabled)\n");
        for (size_t t = 0; t < proxy->toxic_count; t++)
            put_toxic(out, proxy, proxy->toxics[t]);
        armed = armed || (proxy->enabled && proxy->toxic_count);
    }
    return armed;
}

void presence_tell(struct presence *presence, const struct model *model, bool halted)
{
    struct buf text;
    bool armed;
    int result;

    presence->stale = false;
    presence->told_ns = clock_now_ns();
    if (presence->registry.fd < 0)
        return;
    buf_init(&text, NOTICE_BYTES_MAX / 2); /* what is beyond is left out: the head matters */
    buf_printf(&text, "API at %s\n", presence->address);
    armed = put_proxies(&text, model);
    result = notice_put(&presence->registry, &presence->notice, halted ? NOTICE_HALTED : armed ? NOTICE_ARMED : NOTICE_IDLE, text.data);
    if (result < 0)
        log_line(LOG_LEVEL_ERROR, "The notice for perturb ps could not be put up", "error", strerror(-result), NULL);
    buf_done(&text);
}

void presence_tick(struct presence *presence, const struct model *model, bool halted)
{
    if (presence->stale && clock_now_ns() >= presence->told_ns + TELL_STEP_NS)
        presence_tell(presence, model, halted);
}

uint64_t presence_next_ns(const struct presence *presence)
{
    if (presence->registry.fd < 0)
        return UINT64_MAX;
    if (presence->stale)
        return presence->told_ns + TELL_STEP_NS;
    return presence->watch_fd < 0 ? clock_now_ns() + LOOK_STEP_NS : UINT64_MAX;
}
