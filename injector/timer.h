/* Deadlines of a loop: a 4-ary heap of nodes that live in their owners. One wait timeout a turn serves them all. */
#ifndef PERTURB_INJECTOR_TIMER_H
#define PERTURB_INJECTOR_TIMER_H

#include <stdint.h>

struct timer_node {
    uint64_t at_ns;
    uint32_t place; /* in the heap, from 1; 0 when not set */
};

struct timer_heap {
    struct timer_node **nodes; /* [1 .. count] */
    uint32_t count, capacity;
};

/* Room for so many nodes is set aside. 0, -ENOMEM. */
int timer_init(struct timer_heap *heap, uint32_t capacity);
void timer_done(struct timer_heap *heap);

void timer_set(struct timer_heap *heap, struct timer_node *node, uint64_t at_ns); /* UINT64_MAX unsets */
uint64_t timer_next_ns(const struct timer_heap *heap);                           /* UINT64_MAX when empty */
struct timer_node *timer_pop_due(struct timer_heap *heap, uint64_t now_ns);      /* NULL when none is due; unset */

#endif
