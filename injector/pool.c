/* Chunks in two sizes and segments, each with a last-in first-out free list. */
#include "injector/pool.h"

#include "scenarios/base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>

struct shelf {
    uint8_t *arena; /* count * capacity bytes */
    struct chunk *chunks;
    uint32_t *stack; /* indices of free chunks */
    uint32_t count, free_count, capacity;
};

enum { SLAB_SEGMENTS = 512 };

struct slab {
    struct slab *next;
    struct segment segments[SLAB_SEGMENTS];
};

struct pool {
    struct shelf large, small;
    struct slab *slabs;
    struct segment *segments_free;
};

static int shelf_init(struct shelf *shelf, uint32_t count, uint32_t capacity)
{
    shelf->count = count;
    shelf->capacity = capacity;
    shelf->chunks = calloc(count, sizeof(*shelf->chunks));
    shelf->stack = calloc(count, sizeof(*shelf->stack));
    shelf->arena = mmap(NULL, (size_t)count * capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shelf->arena == MAP_FAILED)
        shelf->arena = NULL;
    if (!shelf->chunks || !shelf->stack || !shelf->arena)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        shelf->chunks[i] = (struct chunk){ .bytes = shelf->arena + (size_t)i * capacity, .index = i, .capacity = capacity };
        shelf->stack[i] = count - 1 - i;
    }
    shelf->free_count = count;
    return 0;
}

static void shelf_done(struct shelf *shelf)
{
    if (shelf->arena)
        munmap(shelf->arena, (size_t)shelf->count * shelf->capacity);
    free(shelf->chunks);
    free(shelf->stack);
}

static struct chunk *shelf_take(struct shelf *shelf)
{
    struct chunk *chunk;

    if (!shelf->free_count)
        return NULL;
    chunk = &shelf->chunks[shelf->stack[--shelf->free_count]];
    chunk->references = 1;
    chunk->filled = 0;
    return chunk;
}

int pool_new(uint64_t bytes_max, struct pool **ret_pool)
{
    uint32_t count = (uint32_t)MAX((uint64_t)64, MIN((uint64_t)CHUNKS_MAX, bytes_max / CHUNK_BYTES));
    struct pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return -ENOMEM;
    if (shelf_init(&pool->large, count, CHUNK_BYTES) < 0 ||
        shelf_init(&pool->small, count * (CHUNK_BYTES / CHUNK_SMALL_BYTES / 4), CHUNK_SMALL_BYTES) < 0) {
        pool_free(pool);
        return -ENOMEM;
    }
    *ret_pool = pool;
    return 0;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    shelf_done(&pool->large);
    shelf_done(&pool->small);
    while (pool->slabs) {
        struct slab *slab = pool->slabs;

        pool->slabs = slab->next;
        free(slab);
    }
    free(pool);
}

struct chunk *pool_chunk(struct pool *pool)
{
    return shelf_take(&pool->large);
}

struct chunk *pool_chunk_small(struct pool *pool)
{
    return shelf_take(&pool->small);
}

void pool_unref(struct pool *pool, struct chunk *chunk)
{
    struct shelf *shelf;

    if (!chunk)
        return;
    assert(chunk->references);
    if (--chunk->references)
        return;
    shelf = chunk->capacity == CHUNK_BYTES ? &pool->large : &pool->small;
    shelf->stack[shelf->free_count++] = chunk->index;
}

uint64_t pool_bytes_free(const struct pool *pool)
{
    return (uint64_t)pool->large.free_count * CHUNK_BYTES;
}

bool pool_is_low(const struct pool *pool)
{
    return pool->large.free_count < pool->large.count / 2;
}

uint32_t pool_chunks_used(const struct pool *pool)
{
    return pool->large.count - pool->large.free_count + pool->small.count - pool->small.free_count;
}

static bool add_slab(struct pool *pool)
{
    struct slab *slab = malloc(sizeof(*slab));

    if (!slab)
        return false;
    slab->next = pool->slabs;
    pool->slabs = slab;
    for (size_t i = 0; i < SLAB_SEGMENTS; i++) {
        slab->segments[i].next = pool->segments_free;
        pool->segments_free = &slab->segments[i];
    }
    return true;
}

struct segment *pool_segment(struct pool *pool, struct chunk *chunk, uint32_t begin, uint32_t size)
{
    struct segment *segment;

    if (!pool->segments_free && !add_slab(pool))
        return NULL;
    segment = pool->segments_free;
    pool->segments_free = segment->next;
    *segment = (struct segment){ .chunk = chunk, .begin = begin, .size = size };
    if (chunk)
        chunk->references++;
    return segment;
}

void pool_segment_free(struct pool *pool, struct segment *segment)
{
    pool_unref(pool, segment->chunk);
    segment->next = pool->segments_free;
    pool->segments_free = segment;
}

void queue_push(struct queue *queue, struct segment *segment)
{
    segment->next = NULL;
    if (queue->last)
        queue->last->next = segment;
    else
        queue->first = segment;
    queue->last = segment;
    queue->bytes += segment->size;
    queue->count++;
}

struct segment *queue_pop(struct queue *queue)
{
    struct segment *segment = queue->first;

    if (!segment)
        return NULL;
    queue->first = segment->next;
    if (!queue->first)
        queue->last = NULL;
    queue->bytes -= segment->size;
    queue->count--;
    segment->next = NULL;
    return segment;
}

void queue_append(struct queue *queue, struct queue *more)
{
    if (!more->first)
        return;
    if (queue->last)
        queue->last->next = more->first;
    else
        queue->first = more->first;
    queue->last = more->last;
    queue->bytes += more->bytes;
    queue->count += more->count;
    *more = (struct queue){ .first = NULL };
}

void queue_clear(struct queue *queue, struct pool *pool)
{
    struct segment *segment;

    while ((segment = queue_pop(queue)))
        pool_segment_free(pool, segment);
}

struct segment *queue_take(struct queue *queue, struct pool *pool, uint32_t size)
{
    struct segment *front = queue->first, *piece;

    assert(front && size && size <= front->size);
    if (size == front->size)
        return queue_pop(queue);
    piece = pool_segment(pool, front->chunk, front->begin, size);
    if (!piece)
        return NULL;
    piece->offset = front->offset;
    piece->came_ns = front->came_ns;
    piece->flags = front->flags & SEGMENT_HELD;
    front->begin += size;
    front->offset += size;
    front->size -= size;
    queue->bytes -= size;
    return piece;
}

void queue_skip(struct queue *queue, struct pool *pool, uint32_t size)
{
    struct segment *front = queue->first;

    assert(front && size <= front->size);
    if (size == front->size) {
        pool_segment_free(pool, queue_pop(queue));
        return;
    }
    front->begin += size;
    front->offset += size;
    front->size -= size;
    queue->bytes -= size;
}
