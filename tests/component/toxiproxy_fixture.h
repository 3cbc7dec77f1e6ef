/* A server with an echo behind it, for the component tests of Toxiproxy's API. */
#ifndef PERTURB_TESTS_TOXIPROXY_FIXTURE_H
#define PERTURB_TESTS_TOXIPROXY_FIXTURE_H

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/toxiproxy_client.h"
#include "tests/support/wire_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct toxi toxi;
    struct wire_server *server;
    char listen[128];
};

static inline int set_up_with(void **state, const char *const *args)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    toxi_start(&fixture->toxi, args); /* forks: before any thread is started */
    fixture->server = wire_server_start(wire_echo, NULL);
    *state = fixture;
    return fixture->server ? 0 : -1;
}

static inline int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int status = toxi_stop(&fixture->toxi);

    wire_server_stop(fixture->server);
    free(fixture);
    return status;
}

/* A proxy "p" in front of the echo. */
static inline void add_proxy(struct fixture *fixture)
{
    char body[256];

    snprintf(body, sizeof(body), "{\"name\":\"p\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:%u\"}",
             wire_server_port(fixture->server));
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies", body), 201);
    toxi_get(&fixture->toxi, "/proxies/p", "listen", fixture->listen, sizeof(fixture->listen));
}

static inline void add_toxic(const struct fixture *fixture, const char *body)
{
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies/p/toxics", body), 200);
}

static inline void exchange(int fd, char byte)
{
    char got = 0;

    assert_int_equal(wire_send_all(fd, &byte, 1), 0);
    assert_int_equal(wire_recv_all(fd, &got, 1), 1);
    assert_int_equal(got, byte);
}

/* The status of an answer to bytes sent as they are; 0 when there was none. */
static inline int raw_status(const struct toxi *toxi, const char *bytes)
{
    int fd = toxi_connect(toxi), status;
    struct toxi_answer answer;

    assert_true(fd >= 0);
    status = toxi_raw(fd, bytes, strlen(bytes), &answer) ? answer.status : 0;
    toxi_answer_done(&answer);
    close(fd);
    return status;
}

#endif
