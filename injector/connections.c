/* Snapshots of open connections. */
#include "injector/connections.h"

#include "injector/loop.h"

#include <assert.h>
#include <stdlib.h>

static void print_peer(int fd, char text[ADDRESS_TEXT_MAX])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);

    if (fd >= 0 && !getpeername(fd, (struct sockaddr *)&address, &size))
        resolve_print((struct sockaddr *)&address, text, ADDRESS_TEXT_MAX);
}

static enum connection_state state_of(const struct conn *conn)
{
    if (conn->state == CONN_DIALLING)
        return CONNECTION_DIALLING;
    return conn->state == CONN_OPEN ? CONNECTION_OPEN : CONNECTION_ENDING;
}

static void put_rules(const struct chain *chain, struct connection_status *status)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        if (!(chain->grips[i].flags & GRIP_ACTIVE))
            continue;
        if (status->rule_count < CONNECTION_RULES_MAX)
            status->rules[status->rule_count] = (uint16_t)chain->grips[i].rule;
        status->rule_count++;
    }
}

static void put_one(const struct conn *conn, struct connection_status *status)
{
    uint64_t cost;

    *status = (struct connection_status){
        .sequence = conn->chain.sequence,
        .age_ns = conn->loop->now_ns - conn->began_ns,
        .state = state_of(conn),
    };
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        status->received[direction] = conn->chain.offset[direction];
        status->sent[direction] = conn->links[direction].sent_bytes;
        chain_held(&conn->chain, direction, &status->held[direction], &cost);
    }
    put_rules(&conn->chain, status);
    print_peer(conn->fds[0], status->client);
    print_peer(conn->connected ? conn->fds[1] : -1, status->upstream);
}

void connections_fill(struct loop *loop, const struct proxy *proxy, struct connection_list *list)
{
    list->count = 0;
    for (uint32_t i = 0; i < loop->slots_used && list->count < CONNECTIONS_LISTED_MAX; i++)
        if (loop->conns[i].state != CONN_FREE && loop->conns[i].proxy == proxy)
            put_one(&loop->conns[i], &list->list[list->count++]);
}

static int by_sequence(const void *a, const void *b)
{
    const struct connection_status *x = a, *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

size_t connections_merge(struct connection_list *const *parts, size_t part_count, struct connection_status *ret_list, size_t max)
{
    size_t taken[CONNECTION_PARTS_MAX] = { 0 }, count = 0;

    assert(part_count <= CONNECTION_PARTS_MAX);
    for (size_t i = 0; i < part_count; i++)
        qsort(parts[i]->list, parts[i]->count, sizeof(parts[i]->list[0]), by_sequence);
    for (; count < max; count++) {
        const struct connection_status *oldest = NULL;
        size_t from = 0;

        for (size_t i = 0; i < part_count; i++) {
            const struct connection_status *next = &parts[i]->list[taken[i]];

            if (taken[i] == parts[i]->count || (oldest && next->sequence > oldest->sequence))
                continue;
            oldest = next;
            from = i;
        }
        if (!oldest)
            break;
        taken[from]++;
        ret_list[count] = *oldest;
    }
    return count;
}
