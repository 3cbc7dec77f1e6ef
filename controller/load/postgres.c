/* Queries to PostgreSQL by libpq's asynchronous calls, simple query protocol: one connection a slot, one query in flight on it.
 * 1. A connection whose query was given up is closed; the server may go on with the query for a while.
 * 2. The host is resolved once, in postgres_open; libpq is given the address (hostaddr) and never resolves.
 * 3. libpq tells of a refusal in words only: it is known by the system's own words for ECONNREFUSED.
 * Source: PostgreSQL 15, libpq, "Connecting without blocking" (PQconnectPoll) and "Asynchronous Command Processing". */
#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "controller/load/load_priv.h"

enum { PARAMETERS_MAX = 64 };

enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct session {
    enum state state;
    PGconn *connection; /* NULL when closed */
    int fd;             /* libpq's; watched */
    bool wrong;         /* of the present query: an error, or not the value */
    bool has_value;
};

struct postgres {
    const char *keywords[PARAMETERS_MAX + 1];
    char *values[PARAMETERS_MAX + 1]; /* owned */
    size_t parameter_count;
    struct session *sessions;
};

static void session_close(struct session *session)
{
    if (session->connection)
        PQfinish(session->connection);
    *session = (struct session){ .fd = -1 };
}

static void fail(struct load *load, uint32_t number, enum load_outcome outcome)
{
    struct postgres *postgres = load->backend_data;
    bool had_query = postgres->sessions[number].state != IDLE;

    session_close(&postgres->sessions[number]);
    if (had_query)
        load_finish(load, number, outcome, 0);
}

/* libpq may come with another socket while it connects. False when it cannot be watched. */
static bool watch(struct load *load, uint32_t number, uint32_t events)
{
    struct postgres *postgres = load->backend_data;
    struct session *session = &postgres->sessions[number];
    struct epoll_event event = { .events = events, .data.u64 = number };

    session->fd = PQsocket(session->connection);
    return epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, session->fd, &event) == 0 ||
           (errno == ENOENT && epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, session->fd, &event) == 0);
}

static void flush(struct load *load, uint32_t number)
{
    struct postgres *postgres = load->backend_data;
    int left = PQflush(postgres->sessions[number].connection);

    if (left < 0 || !watch(load, number, EPOLLIN | (left ? EPOLLOUT : 0U)))
        fail(load, number, LOAD_RESET);
}

static void query(struct load *load, uint32_t number)
{
    struct postgres *postgres = load->backend_data;
    struct session *session = &postgres->sessions[number];

    session->state = BUSY;
    session->wrong = session->has_value = false;
    if (!PQsendQuery(session->connection, load_request_of(load, number)->body))
        fail(load, number, LOAD_RESET);
    else
        flush(load, number);
}

static enum load_outcome connect_outcome(const PGconn *connection)
{
    return strstr(PQerrorMessage(connection), strerror(ECONNREFUSED)) ? LOAD_REFUSED : LOAD_CONNECT_FAILED;
}

static void connect_on(struct load *load, uint32_t number)
{
    struct postgres *postgres = load->backend_data;
    struct session *session = &postgres->sessions[number];
    PostgresPollingStatusType status = PQconnectPoll(session->connection);

    if (status == PGRES_POLLING_OK && PQsetnonblocking(session->connection, 1) == 0)
        query(load, number);
    else if ((status != PGRES_POLLING_READING && status != PGRES_POLLING_WRITING) ||
             !watch(load, number, status == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT))
        fail(load, number, connect_outcome(session->connection));
}

static void postgres_send(struct load *load, uint32_t number)
{
    struct postgres *postgres = load->backend_data;
    struct session *session = &postgres->sessions[number];

    if (session->state == IDLE) {
        query(load, number);
        return;
    }
    session->connection = PQconnectStartParams(postgres->keywords, (const char *const *)postgres->values, 0);
    session->state = CONNECTING;
    load_count(&load->counts.connects, 1);
    if (!session->connection || PQstatus(session->connection) == CONNECTION_BAD || !watch(load, number, EPOLLOUT))
        fail(load, number, session->connection ? connect_outcome(session->connection) : LOAD_CONNECT_FAILED);
}

static void take_result(struct load *load, uint32_t number, const PGresult *result)
{
    struct postgres *postgres = load->backend_data;
    struct session *session = &postgres->sessions[number];
    const char *expected = load_request_of(load, number)->expect_value;
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
        session->wrong = true;
    if (status != PGRES_TUPLES_OK || session->has_value || !PQntuples(result) || !PQnfields(result))
        return;
    session->has_value = true;
    load_take_bytes(load, number, PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
    session->wrong |= expected && strcmp(expected, PQgetvalue(result, 0, 0)) != 0;
}

static void take_results(struct load *load, uint32_t number)
{
    struct postgres *postgres = load->backend_data;
    struct session *session = &postgres->sessions[number];

    while (!PQisBusy(session->connection)) {
        PGresult *result = PQgetResult(session->connection);
        ExecStatusType status = PQresultStatus(result);

        if (!result) {
            bool good = !session->wrong && (session->has_value || !load_request_of(load, number)->expect_value);
            session->state = IDLE;
            load_finish(load, number, good && load_reply_is_good(load, number) ? LOAD_OK : LOAD_WRONG_REPLY, 0);
            return;
        }
        take_result(load, number, result);
        PQclear(result);
        if (PQstatus(session->connection) == CONNECTION_BAD) {
            fail(load, number, LOAD_RESET);
            return;
        }
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) { /* it waits for what never comes */
            fail(load, number, LOAD_WRONG_REPLY);
            return;
        }
    }
}

static void postgres_event(struct load *load, uint64_t key, uint32_t events)
{
    struct postgres *postgres = load->backend_data;
    uint32_t number = (uint32_t)key;
    struct session *session = &postgres->sessions[number];

    if (session->state == CLOSED)
        return;
    if (session->state == CONNECTING) {
        connect_on(load, number);
        return;
    }
    if (events & EPOLLOUT)
        flush(load, number);
    if (session->state == CLOSED || !(events & ~(uint32_t)EPOLLOUT))
        return;
    if (!PQconsumeInput(session->connection) || PQstatus(session->connection) == CONNECTION_BAD)
        fail(load, number, LOAD_RESET);
    else if (session->state == BUSY)
        take_results(load, number);
}

static void postgres_cancel(struct load *load, uint32_t number)
{
    struct postgres *postgres = load->backend_data;

    session_close(&postgres->sessions[number]);
}

static int add_parameter(struct postgres *postgres, const char *keyword, const char *value)
{
    if (postgres->parameter_count == PARAMETERS_MAX)
        return -E2BIG;
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    postgres->keywords[postgres->parameter_count] = keyword;
    postgres->values[postgres->parameter_count++] = copy;
    return 0;
}

/* The numeric address of a host; NULL for a Unix socket's directory. */
static const char *numeric_address(const char *host, char text[NI_MAXHOST])
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found, *chosen;
    int rc;

    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return NULL;
    for (chosen = found; chosen->ai_next && chosen->ai_family != AF_INET;)
        chosen = chosen->ai_next;
    rc = getnameinfo(chosen->ai_addr, chosen->ai_addrlen, text, NI_MAXHOST, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return rc == 0 ? text : NULL;
}

/* The static names of libpq's keywords outlive the options that it found in the URL. */
static int take_options(struct postgres *postgres, const PQconninfoOption *options, struct errs *errs)
{
    static const char *const known[] = { "host", "port", "dbname", "user", "password", "passfile", "sslmode", "sslrootcert", "sslcert",
                                         "sslkey", "sslcrl", "options", "application_name", "client_encoding", "gssencmode",
                                         "target_session_attrs", "channel_binding", "connect_timeout", "keepalives", "tcp_user_timeout" };
    char address[NI_MAXHOST];
    int rc = 0;

    for (const PQconninfoOption *option = options; rc == 0 && option->keyword; option++) {
        const char *keyword = NULL;
        if (!option->val)
            continue;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (!strcmp(known[i], option->keyword))
                keyword = known[i];
        if (!keyword)
            return errs_add(errs, ERR_INPUT, "url", "'%s' is not supported in a load's URL", option->keyword);
        rc = add_parameter(postgres, keyword, option->val);
        if (rc || strcmp(keyword, "host") != 0 || option->val[0] == '/')
            continue;
        if (!numeric_address(option->val, address)) {
            errs_add(errs, ERR_WORLD, "url", "host '%s' cannot be resolved", option->val);
            return -EHOSTUNREACH;
        }
        rc = add_parameter(postgres, "hostaddr", address);
    }
    return rc;
}

static int postgres_open(struct load *load, struct errs *errs)
{
    struct postgres *postgres = calloc(1, sizeof(*postgres));
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(load->spec.url, &message);
    int rc;

    load->backend_data = postgres;
    if (!postgres || !(postgres->sessions = calloc(load->spec.connections_max, sizeof(*postgres->sessions)))) {
        errs_add(errs, ERR_WORLD, "load", "out of memory");
        rc = -ENOMEM;
    } else if (!options) {
        rc = errs_add(errs, ERR_INPUT, "url", "no URL of a PostgreSQL server: %s", message ? message : "out of memory");
    } else {
        rc = take_options(postgres, options, errs);
    }
    PQfreemem(message);
    PQconninfoFree(options);
    return rc;
}

static void postgres_close(struct load *load)
{
    struct postgres *postgres = load->backend_data;

    if (!postgres)
        return;
    for (uint32_t i = 0; postgres->sessions && i < load->spec.connections_max; i++)
        session_close(&postgres->sessions[i]);
    for (size_t i = 0; i < postgres->parameter_count; i++)
        free(postgres->values[i]);
    free(postgres->sessions);
    free(postgres);
}

const struct load_backend load_postgres_backend = {
    .open = postgres_open, .send = postgres_send, .cancel = postgres_cancel, .on_event = postgres_event,
    .timer_ns = load_no_timer_ns, .on_timer = load_no_timer, .close = postgres_close,
};
