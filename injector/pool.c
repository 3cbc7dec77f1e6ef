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
    uint32_t *bare;  /* indices of chunks that the budget has: they hold no page */
    uint64_t *budget; /* borrowed; NULL: the shelf has all it may ever have */
    uint32_t count, free_count, bare_count, capacity;
    uint32_t keep; /* so many free ones are not given back */
};

enum { GRANT_BYTES = 512 * 1024 }; /* taken or given back at a time */

enum { SLAB_SEGMENTS = 512, LARGE_MIN = 64 /* of a pool: a ring holds half of them */, SMALL_PER_LARGE = CHUNK_BYTES / CHUNK_SMALL_BYTES / 4 };

struct slab {
    struct slab *next;
    struct segment segments[SLAB_SEGMENTS];
};

struct pool {
    struct shelf large, small;
    struct slab *slabs;
    struct segment *segments_free;
};

static int shelf_init(struct shelf *shelf, uint32_t count, uint32_t capacity, uint64_t *budget, uint32_t pools)
{
    shelf->count = count;
    shelf->capacity = capacity;
    shelf->budget = budget;
    shelf->keep = count / (4 * pools);
    shelf->chunks = calloc(count, sizeof(*shelf->chunks));
    shelf->stack = calloc(count, sizeof(*shelf->stack));
    shelf->bare = calloc(count, sizeof(*shelf->bare));
    shelf->arena = mmap(NULL, (size_t)count * capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shelf->arena == MAP_FAILED)
        shelf->arena = NULL;
    if (!shelf->chunks || !shelf->stack || !shelf->bare || !shelf->arena)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        shelf->chunks[i] = (struct chunk){ .bytes = shelf->arena + (size_t)i * capacity, .index = i, .capacity = capacity };
        (budget ? shelf->bare : shelf->stack)[i] = count - 1 - i;
    }
    if (budget)
        shelf->bare_count = count;
    else
        shelf->free_count = count;
    return 0;
}

static void shelf_done(struct shelf *shelf)
{
    if (shelf->arena)
        munmap(shelf->arena, (size_t)shelf->count * shelf->capacity);
    if (shelf->budget)
        __atomic_fetch_add(shelf->budget, shelf->count - shelf->bare_count, __ATOMIC_RELAXED);
    free(shelf->chunks);
    free(shelf->stack);
    free(shelf->bare);
}

/* Takes some of the budget; none may be left. */
static void shelf_grow(struct shelf *shelf)
{
    uint32_t wanted = MIN(GRANT_BYTES / shelf->capacity, shelf->bare_count);
    uint64_t left = __atomic_load_n(shelf->budget, __ATOMIC_RELAXED), granted;

    do
        granted = MIN(left, (uint64_t)wanted);
    while (granted && !__atomic_compare_exchange_n(shelf->budget, &left, left - granted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    for (; granted; granted--)
        shelf->stack[shelf->free_count++] = shelf->bare[--shelf->bare_count];
}

/* Gives back the chunks that have been free the longest, their pages first. */
static void shelf_shrink(struct shelf *shelf)
{
    uint32_t size = GRANT_BYTES / shelf->capacity;

    for (uint32_t i = 0; i < size; i++) {
        (void)madvise(shelf->chunks[shelf->stack[i]].bytes, shelf->capacity, MADV_DONTNEED);
        shelf->bare[shelf->bare_count++] = shelf->stack[i];
    }
    shelf->free_count -= size;
    memmove(shelf->stack, shelf->stack + size, shelf->free_count * sizeof(*shelf->stack));
    __atomic_fetch_add(shelf->budget, size, __ATOMIC_RELAXED);
}

static struct chunk *shelf_take(struct shelf *shelf)
{
    struct chunk *chunk;

    if (!shelf->free_count && shelf->budget)
        shelf_grow(shelf);
    if (!shelf->free_count)
        return NULL;
    chunk = &shelf->chunks[shelf->stack[--shelf->free_count]];
    chunk->references = 1;
    chunk->filled = 0;
    return chunk;
}

static void shelf_put(struct shelf *shelf, uint32_t index)
{
    shelf->stack[shelf->free_count++] = index;
    if (shelf->budget && shelf->free_count > shelf->keep + 2 * (GRANT_BYTES / shelf->capacity))
        shelf_shrink(shelf);
}

static uint32_t large_count(uint64_t bytes_max, uint32_t pools)
{
    return (uint32_t)MAX((uint64_t)LARGE_MIN * pools, MIN((uint64_t)CHUNKS_MAX, bytes_max / CHUNK_BYTES));
}

void pool_budget_init(struct pool_budget *budget, uint64_t bytes_max, uint32_t pools)
{
    uint32_t large = large_count(bytes_max, pools), small = large * SMALL_PER_LARGE;

    *budget = (struct pool_budget){ .large = large, .small = small, .large_max = large, .small_max = small, .pools = pools };
}

static int pool_make(uint32_t large, struct pool_budget *budget, struct pool **ret_pool)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    uint32_t pools = budget ? budget->pools : 1;

    if (!pool)
        return -ENOMEM;
    if (shelf_init(&pool->large, large, CHUNK_BYTES, budget ? &budget->large : NULL, pools) < 0 ||
        shelf_init(&pool->small, large * SMALL_PER_LARGE, CHUNK_SMALL_BYTES, budget ? &budget->small : NULL, pools) < 0) {
        pool_free(pool);
        return -ENOMEM;
    }
    *ret_pool = pool;
    return 0;
}

int pool_new(uint64_t bytes_max, struct pool **ret_pool)
{
    return pool_make(large_count(bytes_max, 1), NULL, ret_pool);
}

int pool_new_shared(struct pool_budget *budget, struct pool **ret_pool)
{
    return pool_make(budget->large_max, budget->pools > 1 ? budget : NULL, ret_pool);
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
    shelf_put(shelf, chunk->index);
}

uint64_t pool_bytes_free(const struct pool *pool)
{
    const struct shelf *shelf = &pool->large;
    uint64_t more = shelf->budget ? MIN(__atomic_load_n(shelf->budget, __ATOMIC_RELAXED), (uint64_t)shelf->bare_count) : 0;

    return (shelf->free_count + more) * CHUNK_BYTES;
}

bool pool_is_low(const struct pool *pool)
{
    return pool_bytes_free(pool) < (uint64_t)pool->large.count / 2 * CHUNK_BYTES;
}

uint32_t pool_chunks_used(const struct pool *pool)
{
    const struct shelf *large = &pool->large, *small = &pool->small;

    return large->count - large->bare_count - large->free_count + small->count - small->bare_count - small->free_count;
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
