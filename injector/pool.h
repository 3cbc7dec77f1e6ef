/* Memory of one loop's data plane: chunks of received bytes, segments that refer into them, queues of segments.
 *
 * 1. All chunks are set aside at start (address space; pages are touched as needed) and bounded; free ones are taken last-in
 *    first-out, so that the working set stays in the cache.
 * 2. A chunk is shared by reference count; it is free when the last segment that refers to it is. A segment is in exactly
 *    one queue.
 * 3. No locks: a pool belongs to its loop's thread. What pools share is two atomic numbers. */
#ifndef PERTURB_INJECTOR_POOL_H
#define PERTURB_INJECTOR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHUNK_BYTES = 32 * 1024,
    CHUNK_SMALL_BYTES = 2 * 1024,
    CHUNKS_MAX = 65536,   /* of the large kind: their index is a buffer id of 16 bits */
    SEGMENT_COST = 128,   /* what a segment adds to its bytes where memory is bounded */
};

struct chunk {
    uint8_t *bytes;
    uint32_t index, references;
    uint32_t filled; /* bytes in use, from the front */
    uint32_t capacity;
};

enum segment_flags {
    SEGMENT_CUT = 1,   /* a send ends behind it */
    SEGMENT_FIN = 2,   /* no bytes: the stream ends in order */
    SEGMENT_RST = 4,   /* no bytes: the stream ends by a reset */
    SEGMENT_CLOSE = 8, /* no bytes: a fault closes the connection */
    SEGMENT_HELD = 16, /* a fault held it, until came_ns */
    SEGMENT_END = SEGMENT_FIN | SEGMENT_RST | SEGMENT_CLOSE,
};

struct segment {
    struct segment *next;
    struct chunk *chunk; /* NULL at an end */
    uint32_t begin, size;
    uint64_t offset;  /* absolute in the stream as received */
    uint64_t came_ns; /* when it came to where it is now ruled on */
    uint64_t at_ns;   /* held until */
    uint32_t flags;
};

struct queue {
    struct segment *first, *last;
    uint64_t bytes;
    uint32_t count;
};

struct pool;

/* Memory that several pools, each of its own thread, draw on: chunks of either kind that no pool has. A pool takes some when it has
 * none free, and gives back, pages and all, what it has free beyond its keep. */
struct pool_budget {
    uint64_t large, small; /* (atomic) chunks left */
    uint32_t large_max, small_max, pools;
};

/* `bytes_max` bounds the large chunks of all pools together; the small ones add a quarter. */
void pool_budget_init(struct pool_budget *budget, uint64_t bytes_max, uint32_t pools);

/* Returns new. 0, -ENOMEM. */
int pool_new(uint64_t bytes_max, struct pool **ret_pool);
int pool_new_shared(struct pool_budget *budget, struct pool **ret_pool); /* the budget is borrowed */
void pool_free(struct pool *pool);

/* A chunk with one reference, NULL when none is left. */
struct chunk *pool_chunk(struct pool *pool);
struct chunk *pool_chunk_small(struct pool *pool);
void pool_unref(struct pool *pool, struct chunk *chunk);       /* accepts NULL */
uint64_t pool_bytes_free(const struct pool *pool); /* of the large kind: its own and what it could take of the budget */
bool pool_is_low(const struct pool *pool);         /* less than half of them is free */
uint32_t pool_chunks_used(const struct pool *pool); /* of both kinds, for tests: 0 when nothing is held */

/* A segment over bytes of a chunk (takes a reference), or over none. NULL when memory is out. */
struct segment *pool_segment(struct pool *pool, struct chunk *chunk, uint32_t begin, uint32_t size);
void pool_segment_free(struct pool *pool, struct segment *segment);

static inline uint8_t *segment_bytes(const struct segment *segment)
{
    return segment->chunk ? segment->chunk->bytes + segment->begin : NULL;
}

static inline uint64_t queue_cost(const struct queue *queue)
{
    return queue->bytes + (uint64_t)queue->count * SEGMENT_COST;
}

void queue_push(struct queue *queue, struct segment *segment);  /* takes */
struct segment *queue_pop(struct queue *queue);                 /* hands over; NULL when empty */
void queue_append(struct queue *queue, struct queue *more);     /* `more` is empty afterwards */
void queue_clear(struct queue *queue, struct pool *pool);

/* Takes the first `size` bytes (1 .. its size) off the front segment as a segment of their own. NULL when memory is out: the
 * queue is then unchanged. The cut flag stays with the rest. */
struct segment *queue_take(struct queue *queue, struct pool *pool, uint32_t size);

/* Frees the first `size` bytes of the front segment (1 .. its size). */
void queue_skip(struct queue *queue, struct pool *pool, uint32_t size);

#endif
