/* A live run drawn as lines of text for a terminal, of any size. Pure: state in, bytes out.
 *
 * 1. Every line is at most `columns` wide and there are at most `rows` of them; what matters least goes first.
 * 2. Nothing of a run reaches the terminal but through clean_plain(): no control, no bidirectional trick.
 * 3. The timeline, the faults on it and the curves share one axis of seconds. */
#ifndef PERTURB_WATCH_SCREEN_H
#define PERTURB_WATCH_SCREEN_H

#include "controller/watch/state.h"
#include "scenarios/base/buf.h"

struct screen {
    int columns, rows; /* from 20 and 5 on; less is taken for these */
    bool has_colour, has_utf8;
    bool is_halted;    /* the safety lever is engaged */
    bool has_ended;    /* nothing comes any more */
    bool was_lost;     /* it ended without a result: its processes are gone */
    const char *footer; /* keys, or what was just pressed */
    uint64_t now_ns;
};

/* Lines with their newlines, no movement of the cursor. 0 or -ENOMEM. */
int screen_draw(const struct watch *watch, const struct screen *screen, struct buf *out);

/* For a pipe: an event, and how it goes, in a line each. */
void screen_event_line(const struct watch *watch, const struct watch_event *event, struct buf *out);
void screen_status_line(const struct watch *watch, uint64_t now_ns, struct buf *out);

#endif
