/* 4-ary heap: shallower than a binary one, and its four children lie in one cache line. */
#include "injector/timer.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

enum { WAYS = 4 };

int timer_init(struct timer_heap *heap, uint32_t capacity)
{
    *heap = (struct timer_heap){ .capacity = capacity };
    heap->nodes = calloc((size_t)capacity + 1, sizeof(heap->nodes[0]));
    return heap->nodes ? 0 : -ENOMEM;
}

void timer_done(struct timer_heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = 0;
}

static void put(struct timer_heap *heap, uint32_t place, struct timer_node *node)
{
    heap->nodes[place] = node;
    node->place = place;
}

static void rise(struct timer_heap *heap, uint32_t place, struct timer_node *node)
{
    while (place > 1) {
        uint32_t parent = (place - 2) / WAYS + 1;

        if (heap->nodes[parent]->at_ns <= node->at_ns)
            break;
        put(heap, place, heap->nodes[parent]);
        place = parent;
    }
    put(heap, place, node);
}

static void sink(struct timer_heap *heap, uint32_t place, struct timer_node *node)
{
    for (;;) {
        uint32_t first = (place - 1) * WAYS + 2, least = 0;

        for (uint32_t child = first; child < first + WAYS && child <= heap->count; child++)
            if (!least || heap->nodes[child]->at_ns < heap->nodes[least]->at_ns)
                least = child;
        if (!least || heap->nodes[least]->at_ns >= node->at_ns)
            break;
        put(heap, place, heap->nodes[least]);
        place = least;
    }
    put(heap, place, node);
}

static void settle(struct timer_heap *heap, uint32_t place, struct timer_node *node)
{
    if (place > 1 && heap->nodes[(place - 2) / WAYS + 1]->at_ns > node->at_ns)
        rise(heap, place, node);
    else
        sink(heap, place, node);
}

static void unset(struct timer_heap *heap, struct timer_node *node)
{
    struct timer_node *last = heap->nodes[heap->count];
    uint32_t place = node->place;

    heap->count--;
    node->place = 0;
    if (last != node)
        settle(heap, place, last);
}

void timer_set(struct timer_heap *heap, struct timer_node *node, uint64_t at_ns)
{
    if (node->place && node->at_ns == at_ns)
        return;
    node->at_ns = at_ns;
    if (at_ns == UINT64_MAX) {
        if (node->place)
            unset(heap, node);
    } else if (node->place) {
        settle(heap, node->place, node);
    } else {
        assert(heap->count < heap->capacity);
        rise(heap, ++heap->count, node);
    }
}

uint64_t timer_next_ns(const struct timer_heap *heap)
{
    return heap->count ? heap->nodes[1]->at_ns : UINT64_MAX;
}

struct timer_node *timer_pop_due(struct timer_heap *heap, uint64_t now_ns)
{
    struct timer_node *node = heap->count ? heap->nodes[1] : NULL;

    if (!node || node->at_ns > now_ns)
        return NULL;
    unset(heap, node);
    return node;
}
