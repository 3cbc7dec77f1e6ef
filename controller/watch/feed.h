/* Follows a run from its directory: the lines of events.jsonl and live.jsonl, as they come, from given numbers on.
 *
 * 1. A line is given once it is whole, exactly as the run wrote it, without its newline, in the order of its file; only lines that
 *    begin with {"seq":N with N above the last one given, so that what was cut off by a full disk is left out.
 * 2. Events go first. The end is given once, when result.json is there and both files were read to their ends.
 * 3. A file that is not there yet is waited for; one that was replaced or has shrunk is read again from its start (rule 1 leaves out
 *    what was given).
 * 4. Nothing blocks. feed_fd() becomes readable when something may have come; it is -1 where the user's inotify instances are used
 *    up (128 by default), and then feed_next() is to be asked every FEED_POLL_MS. Many watchers of one run share one feed.
 * 5. A run that was killed with its guardian never ends here: whoever waits looks at its processes now and then.
 *
 * Pure of HTTP and of the terminal. One owner thread a feed. */
#ifndef PERTURB_SERVE_FEED_H
#define PERTURB_SERVE_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FEED_POLL_MS = 100, FEED_LINE_MAX = 1 << 20 };

enum feed_kind { FEED_EVENT, FEED_SAMPLE, FEED_END };

struct feed_line {
    enum feed_kind kind;
    uint64_t seq;     /* 0 at the end */
    const char *text; /* NUL-terminated, borrowed until the next call with this feed; "" at the end */
    size_t length;
};

struct feed;

/* Lines above the given numbers, 0 for all; UINT64_MAX as after_sample begins with the samples that are yet to come.
 * Returns 0 with a new feed; -ENOENT, -ENOTDIR and the like when `directory` is none; -ENOMEM. */
int feed_open(const char *directory, uint64_t after_event, uint64_t after_sample, struct feed **ret_feed);
struct feed *feed_close(struct feed *feed); /* accepts NULL, returns NULL */

/* 1 with a line; 0 when there is none yet; -errno when a file cannot be read. */
int feed_next(struct feed *feed, struct feed_line *ret_line);

/* From now on lines are given as participants of a secret game day may see them (controller/watch/veil.h). Once, before the first line. */
void feed_veil(struct feed *feed);

int feed_fd(const struct feed *feed); /* level-triggered until feed_next() returned 0; the feed's own */

/* The numbers given last, and "E.S" of them, the id of a server-sent event. The parse accepts "E" too: samples from the start.
 * 0 or -EINVAL. */
enum { FEED_ID_MAX = 44 };
void feed_place(const struct feed *feed, uint64_t *ret_event, uint64_t *ret_sample);
char *feed_id_print(uint64_t event, uint64_t sample, char text[FEED_ID_MAX]);
int feed_id_parse(const char *text, uint64_t *ret_event, uint64_t *ret_sample);

#endif
