/* What a PostgreSQL answers to a query: libpq, never blocking, a connection of its own each time. Built where libpq is there; else
 * postgres_absent.c is. */
#include "controller/probe/probe_priv.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* libpq ends its messages with a newline. */
static int fail_by(struct reading *reading, const char *message)
{
    return reading_fail(reading, "%.*s", (int)strcspn(message, "\n"), message[0] ? message : "no answer");
}

static int connect_to(struct reading *reading, PGconn *connection)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (PQstatus(connection) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        if (reading_wait(reading, PQsocket(connection), state == PGRES_POLLING_READING ? POLLIN : POLLOUT) < 0)
            return -EIO;
        state = PQconnectPoll(connection);
    }
    return state == PGRES_POLLING_OK ? 0 : fail_by(reading, PQerrorMessage(connection));
}

static int take_number(struct reading *reading, const PGresult *answer)
{
    const char *text;
    char *end;
    double value;

    if (PQresultStatus(answer) != PGRES_TUPLES_OK)
        return fail_by(reading, PQresultErrorMessage(answer));
    if (PQntuples(answer) < 1 || PQnfields(answer) < 1 || PQgetisnull(answer, 0, 0))
        return reading_fail(reading, "the query yields no value");
    text = PQgetvalue(answer, 0, 0);
    value = strtod(text, &end);
    if (end == text || *end)
        return reading_fail(reading, "the query yields '%.60s', which is no number", text);
    reading_put(reading, reading->now_ns, value);
    return 0;
}

/* The first result counts; a simple query may bring several. */
static int ask(struct reading *reading, PGconn *connection)
{
    PGresult *answer;
    int result;

    if (!PQsendQuery(connection, reading->probe->postgres.query))
        return fail_by(reading, PQerrorMessage(connection));
    while (PQisBusy(connection)) {
        if (reading_wait(reading, PQsocket(connection), POLLIN) < 0)
            return -EIO;
        if (!PQconsumeInput(connection))
            return fail_by(reading, PQerrorMessage(connection));
    }
    answer = PQgetResult(connection);
    result = answer ? take_number(reading, answer) : fail_by(reading, PQerrorMessage(connection));
    PQclear(answer);
    return result;
}

static int postgres_read(struct reading *reading)
{
    PGconn *connection = PQconnectStart(reading->probe->postgres.connection);
    int result;

    if (!connection)
        return reading_fail(reading, "out of memory");
    result = connect_to(reading, connection);
    if (result == 0)
        result = ask(reading, connection);
    PQfinish(connection);
    return result;
}

const struct probe_reader probe_postgres = { .read = postgres_read };
