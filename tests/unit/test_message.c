/* Framing of executor messages over a socket pair: whole, in crumbs, foreign, oversized, ended early. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/vocab/message.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

enum { DEADLINE_MS = 10000 };

struct pair {
    int a, b;
};

static int timeout_ms(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");
    long ms = text ? strtol(text, NULL, 10) : 0;

    return ms > 0 && ms < 10000000 ? (int)ms : DEADLINE_MS;
}

static int open_pair(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    int fds[2];

    assert_non_null(pair);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *pair = (struct pair){ fds[0], fds[1] };
    *state = pair;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *pair = *state;

    close(pair->a);
    close(pair->b);
    free(pair);
    return 0;
}

static struct message_head head_of(enum message_verb verb, uint32_t size)
{
    return (struct message_head){ .verb = (uint16_t)verb, .size = size, .seq = 5, .epoch = 6, .ttl_ns = 7, .result = -3 };
}

static void every_verb_arrives_whole(void **state)
{
    struct pair *pair = *state;

    for (int verb = 1; verb < MESSAGE_VERB_COUNT; verb++) {
        struct message_head head = head_of((enum message_verb)verb, verb % 2 ? 11 : 0);
        struct message message;

        assert_int_equal(message_send(pair->a, &head, "hello world", timeout_ms()), 0);
        assert_int_equal(message_receive(pair->b, timeout_ms(), &message), 0);
        assert_int_equal(message.head.verb, verb);
        assert_int_equal(message.head.magic, MESSAGE_MAGIC);
        assert_int_equal(message.head.version, MESSAGE_VERSION);
        assert_true(message.head.seq == 5 && message.head.epoch == 6 && message.head.ttl_ns == 7 && message.head.result == -3);
        if (head.size)
            assert_string_equal(message.payload, "hello world");
        else
            assert_null(message.payload);
        message_done(&message);
        message_done(&message);
    }
    message_done(NULL);
}

struct writer {
    int fd;
    const unsigned char *bytes;
    size_t size;
    struct cases cases;
};

/* Writes in crumbs of 1 to 7 bytes. */
static void *write_crumbs(void *context)
{
    struct writer *writer = context;

    for (size_t at = 0; at < writer->size;) {
        size_t crumb = 1 + cases_below(&writer->cases, 7);
        ssize_t sent = send(writer->fd, writer->bytes + at, crumb < writer->size - at ? crumb : writer->size - at, MSG_NOSIGNAL);

        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    return NULL;
}

static void crumbs_become_messages(void **state)
{
    struct pair *pair = *state;
    struct message_head head = head_of(MESSAGE_ARM, 1000);
    unsigned char bytes[3 * (sizeof(struct message_head) + 1000)];
    struct writer writer = { pair->a, bytes, sizeof(bytes), cases_begin("crumbs") };
    pthread_t thread;

    head.magic = MESSAGE_MAGIC;
    head.version = MESSAGE_VERSION;
    for (size_t i = 0; i < 3; i++) {
        head.seq = i;
        memcpy(bytes + i * (sizeof(head) + 1000), &head, sizeof(head));
        memset(bytes + i * (sizeof(head) + 1000) + sizeof(head), (int)('a' + i), 1000);
    }
    assert_int_equal(pthread_create(&thread, NULL, write_crumbs, &writer), 0);
    for (size_t i = 0; i < 3; i++) {
        struct message message;

        assert_int_equal(message_receive(pair->b, timeout_ms(), &message), 0);
        assert_true(message.head.seq == i);
        for (size_t at = 0; at < 1000; at++)
            assert_int_equal(((char *)message.payload)[at], 'a' + i);
        message_done(&message);
    }
    pthread_join(thread, NULL);
}

struct sender {
    int fd;
    char *payload;
    uint32_t size;
    int result;
};

static void *send_one(void *context)
{
    struct sender *sender = context;
    struct message_head head = head_of(MESSAGE_PREPARE, sender->size);

    sender->result = message_send(sender->fd, &head, sender->payload, timeout_ms());
    return NULL;
}

/* Larger than any socket buffer: the sender waits for the reader, on a non-blocking socket too. */
static void the_largest_payload_passes(void **state)
{
    struct pair *pair = *state;
    struct sender sender = { .fd = pair->a, .payload = malloc(MESSAGE_PAYLOAD_MAX), .size = MESSAGE_PAYLOAD_MAX };
    struct message message;
    pthread_t thread;

    assert_non_null(sender.payload);
    for (size_t i = 0; i < MESSAGE_PAYLOAD_MAX; i++)
        sender.payload[i] = (char)(i * 31 >> 3);
    assert_int_equal(fcntl(pair->a, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&thread, NULL, send_one, &sender), 0);
    assert_int_equal(message_receive(pair->b, timeout_ms(), &message), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sender.result, 0);
    assert_int_equal(message.head.size, MESSAGE_PAYLOAD_MAX);
    assert_memory_equal(message.payload, sender.payload, MESSAGE_PAYLOAD_MAX);
    message_done(&message);
    free(sender.payload);
}

static void foreign_heads_are_refused(void **state)
{
    struct message_head good = head_of(MESSAGE_STATUS, 0), bad[5];

    (void)state;
    good.magic = MESSAGE_MAGIC;
    good.version = MESSAGE_VERSION;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        bad[i] = good;
    bad[0].magic++;
    bad[1].version++;
    bad[2].verb = MESSAGE_VERB_COUNT;
    bad[3].size = MESSAGE_PAYLOAD_MAX + 1;
    bad[4].verb = 0;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct message message = { .payload = (void *)(uintptr_t)1 };
        void *slot = NULL;
        struct pair *pair;

        open_pair(&slot);
        pair = slot;
        assert_int_equal(send(pair->a, &bad[i], sizeof(bad[i]), 0), sizeof(bad[i]));
        if (message_receive(pair->b, timeout_ms(), &message) != -EPROTO)
            fail_msg("bad head %zu was taken", i);
        assert_ptr_equal(message.payload, (void *)(uintptr_t)1); /* untouched on failure */
        close_pair(&slot);
    }
}

static void oversize_is_not_sent(void **state)
{
    struct pair *pair = *state;
    struct message_head head = head_of(MESSAGE_ARM, MESSAGE_PAYLOAD_MAX + 1);

    assert_int_equal(message_send(pair->a, &head, "", timeout_ms()), -EMSGSIZE);
}

static void an_early_end_is_told_at_every_byte(void **state)
{
    unsigned char bytes[sizeof(struct message_head) + 8] = { 0 };
    struct message_head head = head_of(MESSAGE_OPEN, 8);

    (void)state;
    head.magic = MESSAGE_MAGIC;
    head.version = MESSAGE_VERSION;
    memcpy(bytes, &head, sizeof(head));
    for (size_t length = 0; length < sizeof(bytes); length++) {
        struct message message;
        void *slot = NULL;
        struct pair *pair;

        open_pair(&slot);
        pair = slot;
        assert_int_equal(send(pair->a, bytes, length, 0), length);
        assert_int_equal(shutdown(pair->a, SHUT_WR), 0);
        assert_int_equal(message_receive(pair->b, timeout_ms(), &message), -ECONNRESET);
        close_pair(&slot);
    }
}

static void silence_ends_at_the_deadline(void **state)
{
    struct pair *pair = *state;
    struct message message;

    assert_int_equal(message_receive(pair->b, 0, &message), -ETIMEDOUT);
    assert_int_equal(message_receive(pair->b, 20, &message), -ETIMEDOUT);
}

static void a_peer_that_is_gone_is_told(void **state)
{
    struct pair *pair = *state;
    struct message_head head = head_of(MESSAGE_QUIT, 0);

    assert_int_equal(shutdown(pair->b, SHUT_RD), 0);
    assert_int_equal(message_send(pair->a, &head, NULL, timeout_ms()), -EPIPE); /* and no SIGPIPE */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_verb_arrives_whole),
        CASE(crumbs_become_messages),
        CASE(the_largest_payload_passes),
        cmocka_unit_test(foreign_heads_are_refused),
        CASE(oversize_is_not_sent),
        cmocka_unit_test(an_early_end_is_told_at_every_byte),
        CASE(silence_ends_at_the_deadline),
        CASE(a_peer_that_is_gone_is_told),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
