/* The live view on a terminal: one line that is redrawn (phase, clock, goodput now and as a sparkline, p99), and a plain line for
 * each event worth one above it. Elsewhere events are plain lines. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SPARK_BINS = 32 };
#define SPARK_BIN_NS (500 * NS_PER_MS)
#define DRAW_NS (200 * NS_PER_MS)

struct live {
    uint64_t drawn_ns;
    bool colour, utf8;
    int columns;
};

static const char *const spark_utf8[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const spark_ascii[] = { "_", ".", ":", "-", "=", "+", "*", "#" };

static bool locale_is_utf8(void)
{
    const char *names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);

        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

/* Events that a person watching wants as a line of their own. */
static void live_event(void *context, const struct event *event)
{
    struct run *run = context;
    struct buf line;

    if (event->kind == EVENT_steady || event->kind == EVENT_fault_prepared || event->kind == EVENT_load_started ||
        event->kind == EVENT_verified || event->kind == EVENT_phase || event->kind == EVENT_run_started ||
        event->kind == EVENT_verdict || event->kind == EVENT_run_ended ||
        event->kind == EVENT_undo || event->kind == EVENT_load_stopped)
        return;
    buf_init(&line, 2048);
    event_print_text(event, run->log.origin_ns ? run->log.origin_ns : event->ns, &line);
    printf("\r\033[K%s", line.data);
    buf_done(&line);
    run->live->drawn_ns = 0;
}

void live_start(struct run *run)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    struct winsize size;

    if (run->request->quiet)
        return;
    if (run->request->json || !isatty(STDOUT_FILENO) || (term && !strcmp(term, "dumb"))) {
        run->log.stream = stdout;
        run->log.stream_is_json = run->request->json;
        return;
    }
    run->live = calloc(1, sizeof(*run->live));
    if (!run->live)
        return;
    run->live->colour = !(no_colour && *no_colour);
    run->live->utf8 = locale_is_utf8();
    run->live->columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    run->log.observer = live_event;
    run->log.context = run;
}

static void put_spark(const struct run *run, const struct signal *goodput, uint64_t now_ns)
{
    const struct live *live = run->live;

    for (int i = SPARK_BINS; i > 0; i--) {
        uint64_t until_ns = now_ns - (uint64_t)(i - 1) * SPARK_BIN_NS, from_ns = until_ns - SPARK_BIN_NS;
        double share = until_ns > run->zero_ns + SPARK_BIN_NS ? run_signal_over(run, goodput, WINDOW_BY_END, from_ns, until_ns) : NAN;
        int level = isnan(share) ? -1 : (int)(share * 7.999);
        const char *glyph = level < 0 ? " " : live->utf8 ? spark_utf8[level] : spark_ascii[level];

        if (live->colour && level >= 0 && level < 7)
            printf("\033[31m%s\033[0m", glyph);
        else
            printf("%s", glyph);
    }
}

static void draw_line(struct run *run, uint64_t now_ns)
{
    const struct signal goodput = { .name = "goodput", .load = 0, .kind = SIGNAL_GOODPUT, .unit = UNIT_SHARE };
    const struct signal p99 = { .name = "p99", .load = 0, .kind = SIGNAL_QUANTILE, .quantile = 0.99, .unit = UNIT_DURATION };
    uint64_t spark_now_ns = now_ns / SPARK_BIN_NS * SPARK_BIN_NS;
    char good[32], slow[32];
    bool disturbed = false;

    for (size_t i = 0; i < run->playbook->method.count; i++)
        disturbed |= run->steps[i].state == STEP_ACTIVE;
    printf("\r\033[K%s%-9s%s", disturbed && run->live->colour ? "\033[33m" : "", run->phase ? run->phase : "", disturbed && run->live->colour ? "\033[0m" : "");
    if (run->zero_ns && run->loads[0].generator && now_ns > run->zero_ns + NS_PER_S) {
        printf(" %5.1fs  goodput %6s ", (double)(now_ns - run->zero_ns) / 1e9,
               run_signal_text(&goodput, run_signal_over(run, &goodput, WINDOW_BY_END, now_ns - NS_PER_S, now_ns), good, sizeof(good)));
        put_spark(run, &goodput, spark_now_ns);
        if (run->live->columns >= 78)
            printf("  p99 %s", run_signal_text(&p99, run_signal_over(run, &p99, WINDOW_BY_END, now_ns - NS_PER_S, now_ns), slow, sizeof(slow)));
    }
    fflush(stdout);
}

void live_draw(struct run *run, uint64_t now_ns)
{
    if (!run->live || now_ns < run->live->drawn_ns + DRAW_NS)
        return;
    run->live->drawn_ns = now_ns;
    draw_line(run, now_ns);
}

void live_stop(struct run *run)
{
    if (!run->live)
        return;
    printf("\r\033[K");
    fflush(stdout);
    free(run->live);
    run->live = NULL;
    run->log.observer = NULL;
}
