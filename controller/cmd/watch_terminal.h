/* The terminal under a full-screen view: taken over and given back, whatever ends the view. */
#ifndef PERTURB_CMD_WATCH_TERMINAL_H
#define PERTURB_CMD_WATCH_TERMINAL_H

#include "scenarios/base/buf.h"

#include <stdbool.h>
#include <termios.h>

struct terminal {
    bool is_screen; /* standard output is a terminal that can move its cursor */
    bool has_keys;  /* and standard input is one */
    bool has_colour, has_utf8;
    int columns, rows;
    int signal_fd; /* SIGINT, SIGTERM, SIGHUP, SIGWINCH */
    struct termios before;
};

void terminal_begin(struct terminal *terminal); /* signals are blocked and read from signal_fd until the end */
void terminal_end(struct terminal *terminal);
void terminal_measure(struct terminal *terminal);
int terminal_signal(const struct terminal *terminal); /* the next one that came; 0 for none */

/* Draws a frame of lines over what was there. */
void terminal_draw(const struct buf *frame);

#endif
