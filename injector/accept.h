/* Listeners of a loop, and who serves what they accept.
 *
 * 1. Each proxy has one listening descriptor and one loop that accepts on it; the others are handed its connections in turn
 *    (handoff.h). So the port is bound as any other and nobody can join it, Unix sockets spread alike, connections are numbered
 *    and counted into rules in the order of accept, and with one loop nothing of this is done.
 * 2. Every loop knows every open proxy: what comes handed over after the proxy was closed there is closed at once.
 * 3. LOOP_CLOSE is acknowledged when the last accept has ended: the proxy's place in the table is then free in every loop.
 * 4. A handed connection waits for a plan that its acceptor had taken up and this loop has not. */
#ifndef PERTURB_INJECTOR_ACCEPT_H
#define PERTURB_INJECTOR_ACCEPT_H

#include "injector/loop.h"

void accept_open(struct loop *loop, struct proxy *proxy); /* takes a reference */
void accept_close(struct loop *loop, const struct proxy *proxy);
bool accept_is_closed(const struct loop *loop, const struct proxy *proxy);
void accept_stop(struct loop *loop); /* every listener closes */
bool accept_is_stopped(const struct loop *loop);

void accept_completed(struct loop *loop, struct listener *listener, const struct io_completion *completion);
void accept_retry(struct loop *loop);       /* those that found no descriptor */
void accept_take_handed(struct loop *loop); /* serves what other loops accepted */
void accept_drop_handed(struct loop *loop); /* the loop has ended, and all others: closes it */

#endif
