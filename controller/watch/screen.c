/* The drawing of a live run. */
#include "controller/watch/screen.h"

#include "controller/report/clean.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

enum { LABEL = 12, VALUE = 9, LINE_BYTES = 1 << 14, FAULT_ROWS = 4 };

static const char *const colours[] = { ['r'] = "\033[31m", ['g'] = "\033[32m", ['y'] = "\033[33m", ['c'] = "\033[36m", ['b'] = "\033[1m", ['d'] = "\033[2m",
                                       ['i'] = "\033[7m",  ['R'] = "\033[1;37;41m" };

struct canvas {
    const struct watch *watch;
    const struct screen *screen;
    struct buf *out;
    int columns, rows, row, column; /* row: lines ended so far */
    double axis_s;                  /* the axis runs from 0 to here */
};

/* ---- pieces ------------------------------------------------------------------------------------------------------------------- */

/* Hostile text of which as much is put as fits into `width` columns, and into the line; filled with blanks when `fills`. */
static void put(struct canvas *canvas, char colour, const char *text, int width, bool fills)
{
    int room = MIN(width, canvas->columns - canvas->column), used = 0;
    bool coloured = canvas->screen->has_colour && colour;

    if (coloured)
        buf_puts(canvas->out, colours[(unsigned char)colour]);
    while (*text) {
        const char *start = text;
        char one[8] = "";
        struct buf clean;
        int columns;

        clean_next(&text);
        memcpy(one, start, MIN((size_t)(text - start), sizeof(one) - 1));
        columns = (int)clean_width(one);
        if (used + columns > room)
            break;
        buf_init(&clean, 32);
        clean_plain(&clean, one, 1);
        if (!canvas->screen->has_utf8 && (unsigned char)clean.data[0] >= 0x80)
            buf_puts(canvas->out, columns == 2 ? "??" : "?");
        else
            buf_puts(canvas->out, clean.data);
        buf_done(&clean);
        used += columns;
    }
    for (; fills && used < room; used++)
        buf_puts(canvas->out, " ");
    if (coloured)
        buf_puts(canvas->out, "\033[0m");
    canvas->column += used;
}

/* A glyph of our own, one column wide. */
static void put_glyph(struct canvas *canvas, char colour, const char *utf8, const char *ascii)
{
    bool coloured = canvas->screen->has_colour && colour;

    if (canvas->column >= canvas->columns)
        return;
    buf_printf(canvas->out, "%s%s%s", coloured ? colours[(unsigned char)colour] : "", canvas->screen->has_utf8 ? utf8 : ascii, coloured ? "\033[0m" : "");
    canvas->column++;
}

static bool has_room(const struct canvas *canvas)
{
    return canvas->row < canvas->rows;
}

static void end_line(struct canvas *canvas)
{
    buf_puts(canvas->out, "\n");
    canvas->row++;
    canvas->column = 0;
}

static int strip_width(const struct canvas *canvas)
{
    return MAX(4, canvas->columns - LABEL - VALUE);
}

static double column_s(const struct canvas *canvas)
{
    return canvas->axis_s / strip_width(canvas);
}

/* ---- head ----------------------------------------------------------------------------------------------------------------------- */

static void put_title(struct canvas *canvas)
{
    const struct watch *watch = canvas->watch;
    const char *title = watch->title[0] ? watch->title : "a run of perturb";
    int id_columns = (int)MIN(strlen(watch->run), (size_t)24) + 1;
    bool shows_id = canvas->columns >= 60;

    put(canvas, 'b', title, canvas->columns - (shows_id ? id_columns : 0), shows_id);
    if (shows_id) {
        put(canvas, 0, " ", 1, false);
        put(canvas, 'd', watch->run, id_columns - 1, false);
    }
    end_line(canvas);
}

static void put_clock(struct canvas *canvas)
{
    const struct watch *watch = canvas->watch;
    const struct screen *screen = canvas->screen;
    bool is_over = screen->has_ended || screen->was_lost;
    double now_s = is_over ? watch->sampled_s : watch_seconds(watch, screen->now_ns);
    char text[96];
    bool acts = false;

    for (size_t i = 0; i < watch->fault_count; i++)
        acts |= watch->faults[i].is_armed;
    put(canvas, acts && !is_over ? 'y' : 'c', is_over ? "ended" : watch->phase[0] ? watch->phase : "starting", 12, true);
    if (isfinite(now_s) && (watch->zero_ns || watch->first_ns)) {
        int whole = (int)fmin(fabs(now_s), 8e8);

        snprintf(text, sizeof(text), "%s%d:%02d.%d  ", now_s < 0 ? "-" : "", whole / 60, whole % 60, (int)(fmod(fabs(now_s), 1) * 10));
        put(canvas, 0, text, 24, false);
    }
    if (watch->is_secret)
        put(canvas, 'y', "secret scenario  ", 17, false);
    if (isfinite(watch->amplification)) {
        snprintf(text, sizeof(text), "attempts per request %s", fmt_times(watch->amplification).text);
        put(canvas, watch->amplification > 1.2 ? 'y' : 0, text, 60, false);
    }
    end_line(canvas);
}

/* Words over as many lines as they need, three at the most. */
static void put_wrapped(struct canvas *canvas, char colour, const char *text)
{
    for (int line = 0; line < 3 && *text; line++) {
        size_t length = strlen(text), room = (size_t)canvas->columns;
        char part[WATCH_TEXT_MAX + 80];

        if (line < 2 && length > room) {
            for (length = room; length > room / 2 && text[length] != ' ';)
                length--;
            if (text[length] != ' ')
                for (length = room; length > 1 && (text[length] & 0xc0) == 0x80;)
                    length--;
        }
        snprintf(part, sizeof(part), "%.*s", (int)length, text);
        put(canvas, colour, part, canvas->columns, false);
        end_line(canvas);
        text += length;
        text += strspn(text, " ");
    }
}

static void put_banners(struct canvas *canvas)
{
    const struct watch *watch = canvas->watch;
    const struct screen *screen = canvas->screen;
    char text[WATCH_TEXT_MAX + 80];

    if (screen->is_halted) {
        put(canvas, 'R', " HALTED: the safety lever is engaged, new runs are refused; `perturb resume` takes it back ", canvas->columns, false);
        end_line(canvas);
    }
    if (watch->aborted[0]) {
        snprintf(text, sizeof(text), "aborted: %s", watch->aborted);
        put_wrapped(canvas, 'r', text);
    }
    if (watch->hold[0] && !screen->has_ended) {
        double left_s = watch->hold_until_ns > screen->now_ns ? (double)(watch->hold_until_ns - screen->now_ns) / 1e9 : 0;

        snprintf(text, sizeof(text), " HOLD, %.0f s left, g goes on: %.250s ", left_s, watch->hold);
        put(canvas, 'i', text, canvas->columns, false);
        end_line(canvas);
    }
    if (screen->has_ended || screen->was_lost) {
        const char *known = summary_verdict_named(watch->verdict)->words, *verdict = known[0] ? known : watch->verdict;

        if (!verdict[0])
            verdict = screen->was_lost ? "lost: its processes are gone; `perturb recover` undoes what is left" : "no verdict";
        snprintf(text, sizeof(text), "%s%s%.250s", verdict, watch->why[0] ? ": " : "", watch->why);
        put_wrapped(canvas, watch->status == 0 ? 'g' : watch->status == 2 ? 'y' : 'r', text);
    }
}

/* ---- the axis and the faults on it ------------------------------------------------------------------------------------------------ */

/* Round seconds, as near to each other as their numbers fit. */
static double tick_of(const struct canvas *canvas)
{
    static const double steps[] = { 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400 };

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (steps[i] / column_s(canvas) >= 9)
            return steps[i];
    return canvas->axis_s;
}

static void put_axis(struct canvas *canvas)
{
    double tick_s = tick_of(canvas);
    char text[32];

    put(canvas, 'd', "", LABEL, true);
    for (double at_s = 0; at_s < canvas->axis_s - tick_s / 2; at_s += tick_s) {
        int next = LABEL + (int)lround((at_s + tick_s) / column_s(canvas));

        snprintf(text, sizeof(text), "%.9gs", at_s);
        put_glyph(canvas, 'd', "╷", "|");
        put(canvas, 'd', text, MAX(0, MIN(next, LABEL + strip_width(canvas)) - canvas->column), true);
    }
    end_line(canvas);
}

static bool acts_in(const struct canvas *canvas, const struct watch_fault *fault, int column)
{
    double from_s = column_s(canvas) * column, until_s = from_s + column_s(canvas);
    double begun_s = watch_seconds(canvas->watch, fault->from_ns), ended_s = watch_seconds(canvas->watch, fault->until_ns);

    if (!fault->from_ns || begun_s >= until_s)
        return false;
    return fault->until_ns ? ended_s > from_s : !isfinite(canvas->watch->sampled_s) || from_s < canvas->watch->sampled_s;
}

static char mark_in(const struct canvas *canvas, int column)
{
    for (size_t i = 0; i < canvas->watch->mark_count; i++)
        if ((int)floor(watch_seconds(canvas->watch, canvas->watch->marks[i].ns) / column_s(canvas)) == column) {
            const char *name = canvas->watch->marks[i].name;

            return name[0] == 'd' ? 'D' : name[0] == 'a' ? 'A' : name[0] == 'm' ? 'M' : name[0] == 'g' ? 'g' : 'n';
        }
    return 0;
}

static void put_marks(struct canvas *canvas)
{
    if (!canvas->watch->mark_count || !has_room(canvas))
        return;
    put(canvas, 'd', "marks", LABEL, true);
    for (int i = 0; i < strip_width(canvas); i++) {
        char mark[2] = { mark_in(canvas, i), '\0' };

        put(canvas, mark[0] ? 'c' : 0, mark[0] ? mark : " ", 1, false);
    }
    end_line(canvas);
}

/* Those that act, and the latest of the others. */
static void put_faults(struct canvas *canvas)
{
    const struct watch *watch = canvas->watch;
    size_t shown = 0, skip = watch->fault_count > FAULT_ROWS ? watch->fault_count - FAULT_ROWS : 0;

    for (size_t i = 0; i < watch->fault_count && shown < FAULT_ROWS && has_room(canvas); i++) {
        const struct watch_fault *fault = &watch->faults[i];
        char text[64];

        if (i < skip && !fault->is_armed)
            continue;
        shown++;
        put(canvas, fault->is_armed ? 'y' : 0, fault->name, LABEL - 1, true);
        put(canvas, 0, " ", 1, false);
        for (int column = 0; column < strip_width(canvas); column++) {
            bool acts = acts_in(canvas, fault, column);

            put_glyph(canvas, acts ? 'y' : 'd', acts ? "▓" : "·", acts ? "#" : ".");
        }
        snprintf(text, sizeof(text), " %s", fault->fired[0] ? fault->fired : "0");
        put(canvas, 0, text, VALUE, false);
        end_line(canvas);
    }
}

/* ---- curves ------------------------------------------------------------------------------------------------------------------------ */

static const char *const levels_utf8[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const levels_ascii[] = { "_", ".", ":", "-", "=", "+", "*", "#" };

/* Of the bins of a column: the share that was good, and the longest p99. NaN: nothing ended. */
static void column_of(const struct canvas *canvas, const struct watch_load *load, int column, double *ret_goodput, double *ret_p99_s)
{
    size_t from = (size_t)(column_s(canvas) * column / WATCH_BIN_S), until = (size_t)(column_s(canvas) * (column + 1) / WATCH_BIN_S);
    double good = 0, failed = 0, p99_s = -1;

    for (size_t i = from; i < MAX(until, from + 1) && i < load->count; i++) {
        good += load->bins[i].good;
        failed += load->bins[i].failed;
        if (isnan(load->bins[i].p99_s) && load->bins[i].good + load->bins[i].failed)
            p99_s = INFINITY;
        else if (load->bins[i].p99_s > p99_s)
            p99_s = load->bins[i].p99_s;
    }
    *ret_goodput = good / (good + failed);
    *ret_p99_s = p99_s < 0 ? (double)NAN : p99_s;
}

static void put_level(struct canvas *canvas, double share, char colour)
{
    int level = isnan(share) ? -1 : (int)(fmin(1, fmax(0, share)) * 7.999);

    put_glyph(canvas, colour, level < 0 ? " " : levels_utf8[level], level < 0 ? " " : levels_ascii[level]);
}

static void put_goodput(struct canvas *canvas, const struct watch_load *load)
{
    double goodput, p99_s;
    char text[80];

    if (!has_room(canvas))
        return;
    put(canvas, 0, load->name, LABEL - 1, true);
    put(canvas, 0, " ", 1, false);
    for (int i = 0; i < strip_width(canvas); i++) {
        column_of(canvas, load, i, &goodput, &p99_s);
        put_level(canvas, goodput, goodput < 0.9 ? 'r' : goodput < 0.99 ? 'y' : 'g');
    }
    snprintf(text, sizeof(text), " %s", fmt_share(load->goodput).text);
    put(canvas, load->goodput < 0.9 ? 'r' : 0, text, VALUE, false);
    end_line(canvas);
}

/* On a scale of decades, so that a slow second does not flatten the rest. Never answered: the full height. */
static void put_p99(struct canvas *canvas, const struct watch_load *load)
{
    double lowest = INFINITY, highest = 0, goodput, p99_s;
    char text[80];

    if (!has_room(canvas))
        return;
    for (int i = 0; i < strip_width(canvas); i++) {
        column_of(canvas, load, i, &goodput, &p99_s);
        lowest = p99_s > 0 ? fmin(lowest, p99_s) : lowest;
        highest = isfinite(p99_s) ? fmax(highest, p99_s) : highest;
    }
    highest = fmax(highest, lowest * 10);
    put(canvas, 'd', "  p99", LABEL, true);
    for (int i = 0; i < strip_width(canvas); i++) {
        column_of(canvas, load, i, &goodput, &p99_s);
        put_level(canvas, isinf(p99_s) ? 1 : log(p99_s / lowest) / log(highest / lowest), isinf(p99_s) ? 'r' : 'c');
    }
    snprintf(text, sizeof(text), " %s", isfinite(load->p99_s) ? fmt_seconds(load->p99_s).text : load->goodput < 1 ? "never" : "-");
    put(canvas, 0, text, VALUE, false);
    end_line(canvas);
}

/* ---- guards, events, the whole ------------------------------------------------------------------------------------------------------ */

static void put_guards(struct canvas *canvas)
{
    for (size_t i = 0; i < canvas->watch->guard_count && has_room(canvas); i++) {
        const struct watch_guard *guard = &canvas->watch->guards[i];
        double margin = fmin(1, fmax(0, guard->margin));
        char colour = guard->is_breached || margin < 0.1 ? 'r' : margin < 0.3 ? 'y' : 'g';

        put(canvas, 0, i ? "" : "guards", LABEL, true);
        put(canvas, guard->is_breached ? 'r' : 0, guard->name, MAX(10, canvas->columns - LABEL - 24), true);
        if (guard->is_breached) {
            put(canvas, 'r', " TRIPPED", 9, false);
        } else if (isfinite(guard->margin)) {
            put(canvas, 0, " ", 1, false);
            for (int step = 0; step < 10; step++)
                put_glyph(canvas, colour, margin * 10 > step ? "█" : "░", margin * 10 > step ? "#" : ".");
            put(canvas, 0, " ", 1, false);
            put(canvas, 0, fmt_share(fmax(0, guard->margin)).text, 8, false);
            put(canvas, 0, " left", 5, false);
        }
        end_line(canvas);
    }
}

static void put_event(struct canvas *canvas, const struct watch_event *event)
{
    char text[48];

    snprintf(text, sizeof(text), "%+9.2f  %-14.20s ", watch_seconds(canvas->watch, event->ns), event->kind);
    put(canvas, 'd', text, canvas->columns, false);
    put(canvas, !strcmp(event->kind, "aborted") || !strcmp(event->kind, "guard") ? 'r' : 0, event->text, canvas->columns, false);
    end_line(canvas);
}

static void put_events(struct canvas *canvas)
{
    size_t room = (size_t)MAX(0, canvas->rows - canvas->row - 1), kept = MIN(canvas->watch->event_count, (size_t)WATCH_EVENTS);
    size_t count = MIN(room, kept);

    for (size_t i = canvas->watch->event_count - count; i < canvas->watch->event_count; i++)
        put_event(canvas, &canvas->watch->events[i % WATCH_EVENTS]);
}

static double axis_of(const struct watch *watch)
{
    static const double lengths[] = { 30, 60, 120, 180, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400 };
    double now_s = isfinite(watch->sampled_s) ? watch->sampled_s : 0;

    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
        if (now_s <= lengths[i])
            return lengths[i];
    return now_s;
}

int screen_draw(const struct watch *watch, const struct screen *screen, struct buf *out)
{
    struct canvas canvas = { .watch = watch, .screen = screen, .out = out, .columns = MAX(20, screen->columns), .rows = MAX(5, screen->rows) - 1,
                             .axis_s = axis_of(watch) };

    buf_init(out, LINE_BYTES * (size_t)(canvas.rows + 1));
    put_title(&canvas);
    put_clock(&canvas);
    put_banners(&canvas);
    if (watch->zero_ns && canvas.rows >= 10) {
        put_axis(&canvas);
        put_faults(&canvas);
        put_marks(&canvas);
    }
    for (size_t i = 0; i < watch->load_count; i++) {
        put_goodput(&canvas, &watch->loads[i]);
        if (canvas.rows >= 14)
            put_p99(&canvas, &watch->loads[i]);
    }
    put_guards(&canvas);
    if (has_room(&canvas) && canvas.row + 1 < canvas.rows)
        end_line(&canvas);
    put_events(&canvas);
    while (canvas.row < canvas.rows)
        end_line(&canvas);
    put(&canvas, 'd', screen->footer, canvas.columns, false);
    return out->failed ? -ENOMEM : 0;
}

void screen_event_line(const struct watch *watch, const struct watch_event *event, struct buf *out)
{
    buf_printf(out, "%+12.3f  ", watch_seconds(watch, event->ns));
    clean_plain(out, event->kind, sizeof(event->kind));
    buf_puts(out, "  ");
    clean_plain(out, event->text, WATCH_TEXT_MAX);
    buf_puts(out, "\n");
}

void screen_status_line(const struct watch *watch, uint64_t now_ns, struct buf *out)
{
    buf_printf(out, "%+12.3f  ", watch_seconds(watch, now_ns));
    clean_plain(out, watch->phase, 20);
    for (size_t i = 0; i < watch->load_count; i++) {
        buf_puts(out, "  ");
        clean_plain(out, watch->loads[i].name, 40);
        buf_printf(out, " goodput %s p99 %s", fmt_share(watch->loads[i].goodput).text, fmt_seconds(watch->loads[i].p99_s).text);
    }
    buf_puts(out, "\n");
}
