/* Server-sent events for any number of watchers: of one run (its events and samples, as its directory gets them), and of the service.
 *
 *  1. A line is read once and kept once, in a ring of its channel; a watcher is a place in that ring. What it costs is its copy.
 *  2. A watcher sleeps while there is nothing for it, and is woken by the hub's thread. One that cannot take what comes falls off the ring
 *     and its stream ends: nobody waits for it, and it resumes by its last id.
 *  3. Who begins in the past catches up from the run's files by a feed of its own, then joins.
 *  4. Lock order: the service's lock may be held when the hub's is taken, never the other way round.
 *
 * Pure of HTTP: how a watcher is put to sleep and woken is given at the start. */
#ifndef PERTURB_SERVE_HUB_H
#define PERTURB_SERVE_HUB_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;
struct watcher;

struct hub_options {
    void (*sleep)(void *connection); /* in watcher_read's thread */
    void (*wake)(void *connection);  /* in the hub's or any other thread, once after each sleep */
    bool (*is_over)(void *context, const char *run); /* it will write no more: asked now and then, in the hub's thread, without its lock */
    void *context;
};

int hub_start(const struct hub_options *options, struct hub **ret_hub); /* 0 or a negative errno */
void hub_stop(struct hub *hub); /* ends every stream; afterwards all that is read is the end. Accepts NULL */
void hub_free(struct hub *hub); /* after the last watcher_close. Accepts NULL */

/* Tells the watchers of the service; `data` is borrowed. */
void hub_post(struct hub *hub, const char *kind, const cJSON *data);

/* From the lines above these numbers on (0, 0: all). 0; -ENOENT when the directory is not there, -errno. */
int hub_watch_run(struct hub *hub, const char *run, const char *directory, uint64_t after_event, uint64_t after_sample, struct watcher **ret_watcher);

/* From the message above `after` on; 0: from now on. Messages that are no longer known are told of by one named "reset". */
int hub_watch_service(struct hub *hub, uint64_t after, struct watcher **ret_watcher);

/* Bytes of the stream into `room`: how many; 0: none now, and `connection` was put to sleep; -1: the end. One thread. */
long watcher_read(struct watcher *watcher, void *connection, char *room, size_t size);
void watcher_close(struct watcher *watcher); /* accepts NULL */

size_t hub_watchers(struct hub *hub);

#endif
