/* The loop of a watched run: its lines, the keys, the clock. */
#include "controller/cmd/watch_session.h"

#include "controller/cmd/watch_terminal.h"
#include "controller/run/guardian.h"
#include "controller/run/marks.h"
#include "controller/watch/feed.h"
#include "controller/watch/screen.h"
#include "controller/watch/veil.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/registry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#define FRAME_NS (50 * NS_PER_MS)
#define IDLE_NS (250 * NS_PER_MS)
#define LOOK_NS NS_PER_S
#define STATUS_NS (5 * NS_PER_S)
#define LOST_AFTER_NS (3 * NS_PER_S)

static const char keys[] = "h HALT  a abort  d detected  k acknowledged  m mitigated  g go  n note  q quit";

struct session {
    const struct chosen_run *run;
    const struct watch_options *options;
    struct terminal terminal;
    struct registry registry;
    struct feed *feed;
    struct veil *veil;
    struct watch watch;
    struct screen screen;
    char footer[WATCH_TEXT_MAX];
    uint64_t footer_until_ns;
    bool types_note; /* a note is typed in the footer */
    uint64_t note_ns;
    char note[MARK_TEXT_MAX];
    size_t printed; /* events, on a pipe */
    uint64_t drawn_ns, looked_ns, status_ns, gone_ns;
    bool left, dirty, interrupted;
    int unsaid; /* -errno of a write to stdout; 0 too when its reader has gone, which is leaving */
};

/* ---- what comes ---------------------------------------------------------------------------------------------------------------- */

static void read_plan(struct session *session, bool reveals)
{
    char path[LIVE_RUN_PATH_MAX + 16];
    struct buf text;
    cJSON *plan = NULL, *shown;

    snprintf(path, sizeof(path), "%s/plan.json", session->run->directory);
    buf_init(&text, 4 << 20);
    if (buf_read_file(&text, path) == 0)
        plan = cJSON_Parse(text.data);
    session->veil = veil_new(reveals ? NULL : plan);
    shown = session->veil ? veil_plan(session->veil, plan) : NULL;
    if (shown)
        watch_take_plan(&session->watch, shown);
    cJSON_Delete(shown);
    cJSON_Delete(plan);
    buf_done(&text);
}

/* The veil has gone: everything is read once more, by its names. */
static int begin_again(struct session *session)
{
    struct watch *watch = &session->watch;
    struct feed *feed = NULL;
    int result = feed_open(session->run->directory, 0, 0, &feed);

    if (result < 0)
        return result;
    feed_close(session->feed);
    session->feed = feed;
    watch_done(watch);
    watch_init(watch);
    memcpy(watch->run, session->run->id, sizeof(watch->run));
    session->veil = veil_free(session->veil);
    read_plan(session, true);
    return 0;
}

static int take_lines(struct session *session)
{
    struct feed_line line;
    int result;

    while ((result = feed_next(session->feed, &line)) > 0) {
        bool hid = veil_hides(session->veil);
        char *veiled = line.kind == FEED_END ? NULL : veil_line(session->veil, line.text);

        if (hid && !veil_hides(session->veil)) {
            result = begin_again(session);
            if (result < 0)
                return result;
            continue;
        }

        if (line.kind == FEED_EVENT)
            watch_take_event(&session->watch, veiled ? veiled : line.text);
        else if (line.kind == FEED_SAMPLE)
            watch_take_sample(&session->watch, veiled ? veiled : line.text);
        else
            session->screen.has_ended = true;
        free(veiled);
        session->dirty = true;
    }
    return result;
}

/* What no line tells: the lever, and whether the run's processes are still there. */
static void look_around(struct session *session, uint64_t now_ns)
{
    bool halted = false;

    if (now_ns < session->looked_ns + LOOK_NS)
        return;
    session->looked_ns = now_ns;
    session->screen.is_halted = session->registry.fd >= 0 && lever_read(&session->registry, &halted) == 0 && halted;
    if (session->screen.has_ended || (session->run->lives && process_is_alive(&session->run->guardian)))
        return;
    session->gone_ns = session->gone_ns ? session->gone_ns : now_ns;
    session->screen.was_lost = !session->run->lives || now_ns >= session->gone_ns + LOST_AFTER_NS;
}

/* ---- keys ----------------------------------------------------------------------------------------------------------------------- */

static void say(struct session *session, const char *text)
{
    snprintf(session->footer, sizeof(session->footer), "%s", text);
    session->footer_until_ns = clock_now_ns() + 4 * NS_PER_S;
    session->dirty = true;
}

static void press_halt(struct session *session)
{
    size_t told = 0, left = 0;
    static struct errs errs;
    int result = session->registry.fd >= 0 ? lever_set(&session->registry, true) : -EBADF;

    errs = (struct errs){ .count = 0 };
    halt_runs(false, 0, &told, &left, &errs);
    say(session, result < 0 || errs.count ? "HALT could not be carried out in full: run `perturb panic` elsewhere" : "halted: every run was told to release and end");
    session->looked_ns = 0;
}

static void press_abort(struct session *session)
{
    bool told = session->run->lives && guardian_ask_end(&session->run->guardian) == 0;

    say(session, told ? "this run was told to abort: release, undo, observe, report" : "the run has ended");
}

static void press_mark(struct session *session, enum mark_kind kind, uint64_t now_ns, const char *text)
{
    struct mark mark;
    char said[160];
    int result;

    mark_init(&mark, kind, now_ns, session->options->by, text);
    result = session->run->lives ? mark_put(session->run->directory, &mark) : -ESHUTDOWN;
    if (result == -ESHUTDOWN)
        snprintf(said, sizeof(said), "the run has ended: no mark is taken any more");
    else if (result < 0)
        snprintf(said, sizeof(said), "the mark could not be written: %s", strerror(-result));
    else
        snprintf(said, sizeof(said), "%s, at %.2f s", mark_names[kind], watch_seconds(&session->watch, now_ns));
    say(session, said);
}

static void press_quit(struct session *session)
{
    bool goes_on = session->options->is_driver && !session->screen.has_ended && !session->screen.was_lost;

    if (goes_on)
        press_abort(session);
    else
        session->left = true;
}

/* Of the run that is driven from here the second does not wait, as with `perturb run`. */
static void take_interrupt(struct session *session)
{
    bool was_asked = session->interrupted;

    session->interrupted = true;
    press_quit(session);
    if (was_asked && !session->left && session->run->lives && guardian_force_end(&session->run->guardian) == 0)
        say(session, "this run is ended by force: undone, and no more");
}

static void type_note(struct session *session, char key)
{
    size_t length = strlen(session->note);

    session->dirty = true;
    if (key == '\r' || key == '\n') {
        session->types_note = false;
        if (length)
            press_mark(session, MARK_NOTE, session->note_ns, session->note);
    } else if (key == '\033') {
        session->types_note = false;
    } else if ((key == '\b' || key == 0x7f) && length) {
        while (length > 1 && (session->note[length - 1] & 0xc0) == 0x80)
            length--;
        session->note[length - 1] = '\0';
    } else if ((unsigned char)key >= 0x20 && key != 0x7f && length + 1 < sizeof(session->note)) {
        session->note[length] = key;
        session->note[length + 1] = '\0';
    }
}

static void press(struct session *session, char key, uint64_t now_ns)
{
    static const struct {
        char key;
        enum mark_kind kind;
    } marks[] = { { 'd', MARK_DETECTED }, { 'k', MARK_ACKNOWLEDGED }, { 'm', MARK_MITIGATED }, { 'g', MARK_GO } };

    if (session->types_note) {
        type_note(session, key);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (key == marks[i].key)
            press_mark(session, marks[i].kind, now_ns, NULL);
    if (key == 'h')
        press_halt(session);
    else if (key == 'a')
        press_abort(session);
    else if (key == 'q')
        press_quit(session);
    if (key == 'n') {
        session->types_note = true;
        session->note_ns = now_ns;
        session->note[0] = '\0';
        session->dirty = true;
    }
}

static void take_keys(struct session *session, uint64_t now_ns)
{
    char bytes[256];
    ssize_t got = session->terminal.has_keys ? read(STDIN_FILENO, bytes, sizeof(bytes)) : 0;

    /* A sequence of a function key is no key of ours. */
    if (got > 1 && bytes[0] == '\033' && !session->types_note)
        return;
    for (ssize_t i = 0; i < got; i++)
        press(session, bytes[i], now_ns);
}

static void take_signals(struct session *session)
{
    int number;

    while ((number = terminal_signal(&session->terminal)) != 0) {
        if (number == SIGWINCH)
            session->dirty = true;
        else if (number == SIGINT)
            take_interrupt(session);
        else
            session->left = true;
    }
}

/* ---- showing --------------------------------------------------------------------------------------------------------------------- */

static void draw(struct session *session, uint64_t now_ns)
{
    char footer[MARK_TEXT_MAX + 64];
    struct buf frame;

    terminal_measure(&session->terminal);
    if (session->types_note)
        snprintf(footer, sizeof(footer), "note: %s_  (Enter keeps it, Esc does not)", session->note);
    else
        snprintf(footer, sizeof(footer), "%s", now_ns < session->footer_until_ns ? session->footer : session->terminal.has_keys ? keys : "");
    session->screen.columns = session->terminal.columns;
    session->screen.rows = session->terminal.rows;
    session->screen.has_colour = session->terminal.has_colour;
    session->screen.has_utf8 = session->terminal.has_utf8;
    session->screen.footer = footer;
    session->screen.now_ns = now_ns;
    if (screen_draw(&session->watch, &session->screen, &frame) == 0)
        terminal_draw(&frame);
    buf_done(&frame);
    session->drawn_ns = now_ns;
    session->dirty = false;
}

static void print_lines(struct session *session, uint64_t now_ns)
{
    const struct watch *watch = &session->watch;
    struct buf out;

    buf_init(&out, 1 << 20);
    session->printed = MAX(session->printed, watch->event_count > WATCH_EVENTS ? watch->event_count - WATCH_EVENTS : 0);
    for (; session->printed < watch->event_count; session->printed++)
        screen_event_line(watch, &watch->events[session->printed % WATCH_EVENTS], &out);
    if (watch->zero_ns && now_ns >= session->status_ns + STATUS_NS && !session->screen.has_ended) {
        session->status_ns = now_ns;
        screen_status_line(watch, now_ns, &out);
    }
    if (fwrite(out.data, 1, out.length, stdout) != out.length || fflush(stdout) != 0) {
        session->left = true;
        session->unsaid = errno == EPIPE ? 0 : -errno;
    }
    buf_done(&out);
    session->dirty = false;
}

static void wait_for_more(struct session *session, uint64_t now_ns)
{
    uint64_t due_ns = session->drawn_ns + (session->dirty ? FRAME_NS : IDLE_NS);
    struct pollfd fds[3] = { { .fd = feed_fd(session->feed), .events = POLLIN },
                             { .fd = session->terminal.signal_fd, .events = POLLIN },
                             { .fd = session->terminal.has_keys ? STDIN_FILENO : -1, .events = POLLIN } };
    int timeout_ms = session->terminal.is_screen ? (int)(due_ns > now_ns ? (due_ns - now_ns) / NS_PER_MS + 1 : 0) : 250;

    if (fds[0].fd < 0)
        timeout_ms = MIN(timeout_ms, FEED_POLL_MS);
    if (session->dirty && session->terminal.is_screen)
        fds[0].fd = -1; /* it waits for the next frame */
    poll(fds, 3, timeout_ms);
}

static int go_on(struct session *session)
{
    int result = 0;

    while (!session->left && result == 0) {
        uint64_t now_ns = clock_now_ns();
        bool is_over;

        take_keys(session, now_ns);
        take_signals(session);
        result = take_lines(session);
        look_around(session, now_ns);
        is_over = session->screen.has_ended || session->screen.was_lost;
        if (!session->terminal.is_screen)
            print_lines(session, now_ns);
        else if (now_ns >= session->drawn_ns + (session->dirty ? FRAME_NS : IDLE_NS) || is_over)
            draw(session, now_ns);
        if (is_over && (session->options->leaves_at_end || !session->terminal.has_keys))
            break;
        wait_for_more(session, now_ns);
    }
    return result;
}

int watch_session(const struct chosen_run *run, const struct watch_options *options, bool *ret_left, struct errs *errs)
{
    struct session *session = calloc(1, sizeof(*session));
    int result, unsaid;

    if (!session)
        return errs_add(errs, ERR_INTERNAL, "watch", "out of memory");
    session->run = run;
    session->options = options;
    session->registry.fd = -1;
    watch_init(&session->watch);
    result = feed_open(run->directory, 0, 0, &session->feed);
    if (result < 0) {
        free(session);
        return errs_add(errs, ERR_WORLD, run->directory, "the run's directory cannot be read: %s", strerror(-result));
    }
    registry_open(&session->registry);
    read_plan(session, options->reveals);
    memcpy(session->watch.run, run->id, sizeof(session->watch.run));
    terminal_begin(&session->terminal);
    result = go_on(session);
    terminal_end(&session->terminal);
    *ret_left = session->left;
    unsaid = session->unsaid;
    watch_done(&session->watch);
    veil_free(session->veil);
    feed_close(session->feed);
    registry_close(&session->registry);
    free(session);
    if (unsaid < 0)
        return errs_add(errs, ERR_WORLD, "watch", "what it shows cannot be written: %s", strerror(-unsaid));
    return result < 0 ? errs_add(errs, ERR_WORLD, run->directory, "the run's files cannot be read: %s", strerror(-result)) : 0;
}
