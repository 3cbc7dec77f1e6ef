/* Questions to executors. */
#include "controller/run/executor.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static void hand_on(struct executor *executor, const struct message *message)
{
    if (message->head.verb == MESSAGE_EVENT && message->head.size == sizeof(struct event) && executor->on_event) {
        const struct event *event = message->payload;

        if (event->kind < EVENT_KIND_COUNT && event->source < SOURCE_COUNT)
            executor->on_event(executor->context, event);
    }
}

int executor_ask(struct executor *executor, enum message_verb verb, uint64_t epoch, uint64_t ttl_ns, const void *payload, size_t size,
                 int timeout_ms, struct message *ret_answer)
{
    const struct message_head head = { .verb = (uint16_t)verb, .seq = ++executor->seq, .epoch = epoch, .ttl_ns = ttl_ns,
                                       .size = (uint32_t)size };
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    int result = message_send(executor->fd, &head, payload, timeout_ms);

    while (result == 0) {
        uint64_t now_ns = clock_now_ns();
        struct message message;

        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        result = message_receive(executor->fd, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1, &message);
        if (result < 0)
            return result;
        if (message.head.verb == verb && message.head.seq == head.seq) {
            result = message.head.result;
            if (ret_answer)
                *ret_answer = message;
            else
                message_done(&message);
            return result;
        }
        hand_on(executor, &message);
        message_done(&message);
    }
    return result;
}

int executor_hello(struct executor *executor, struct wire_hello *ret_hello)
{
    struct message answer = { .payload = NULL };
    int result = executor_ask(executor, MESSAGE_HELLO, 0, 0, NULL, 0, EXECUTOR_TIMEOUT_MS, &answer);

    if (result == 0 && answer.head.size != sizeof(*ret_hello))
        result = -EPROTO;
    if (result == 0) {
        memcpy(ret_hello, answer.payload, sizeof(*ret_hello));
        ret_hello->backend[sizeof(ret_hello->backend) - 1] = '\0';
        if (ret_hello->refusal)
            fprintf(stderr, "perturb: io_uring is refused here (%s): the proxies run on %s\n", strerror(-ret_hello->refusal), ret_hello->backend);
    }
    message_done(&answer);
    return result;
}

int executor_pump(struct executor *executor)
{
    while (executor->fd >= 0 && poll(&(struct pollfd){ .fd = executor->fd, .events = POLLIN }, 1, 0) > 0) {
        struct message message;
        int result = message_receive(executor->fd, EXECUTOR_TIMEOUT_MS, &message);

        if (result < 0)
            return -ECONNRESET;
        hand_on(executor, &message);
        message_done(&message);
    }
    return 0;
}
