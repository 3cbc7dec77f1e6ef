/* service.db through SQLite. */
#include "controller/serve/core/db.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUSY_TIMEOUT_MS = 2000 };

static const char *const steps[] = {
#define STEP(sql) sql,
#include "controller/serve/core/schema.def"
#undef STEP
};

enum { VERSION = sizeof(steps) / sizeof(steps[0]) };

int db_fail(const struct service_db *db, const char *what, struct errs *errs)
{
    int code = sqlite3_errcode(db->db), system = sqlite3_system_errno(db->db);

    switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        errs_add(errs, ERR_WORLD, db->path,
                 "is damaged or no SQLite database (%s); end the service, move the file away (with its -wal and -shm) and start again: schedules "
                 "of serve.yaml and all results of runs are kept elsewhere",
                 sqlite3_errmsg(db->db));
        return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        errs_add(errs, ERR_WORLD, db->path, "cannot %s: another program holds the file locked", what);
        return -EBUSY;
    case SQLITE_FULL:
        errs_add(errs, ERR_WORLD, db->path, "cannot %s: the disk is full; nothing was changed", what);
        return -ENOSPC;
    case SQLITE_READONLY:
        errs_add(errs, ERR_WORLD, db->path, "cannot %s: the file or its directory is read-only", what);
        return -EROFS;
    case SQLITE_NOMEM:
        errs_add(errs, ERR_INTERNAL, db->path, "cannot %s: out of memory", what);
        return -ENOMEM;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        errs_add(errs, ERR_WORLD, db->path, "cannot %s: %s%s%s", what, sqlite3_errmsg(db->db), system ? ": " : "", system ? strerror(system) : "");
        return system ? -system : -EIO;
    default:
        errs_add(errs, ERR_INTERNAL, db->path, "cannot %s: %s", what, sqlite3_errmsg(db->db));
        return -EIO;
    }
}

/* ---- statements -------------------------------------------------------------------------------------------------------------- */

static int bind_values(sqlite3_stmt *statement, const char *types, va_list args)
{
    int code = SQLITE_OK;

    for (int i = 0; types[i] && code == SQLITE_OK; i++) {
        if (types[i] == 't') {
            code = sqlite3_bind_text(statement, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        } else if (types[i] == 'i') {
            code = sqlite3_bind_int64(statement, i + 1, va_arg(args, int64_t));
        } else {
            double value = va_arg(args, double);

            code = isnan(value) ? sqlite3_bind_null(statement, i + 1) : sqlite3_bind_double(statement, i + 1, value);
        }
    }
    return code;
}

static int prepare(struct service_db *db, struct errs *errs, sqlite3_stmt **ret_statement, const char *sql, const char *types, va_list args)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->db, sql, -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = bind_values(statement, types, args);
    if (code != SQLITE_OK) {
        int result = db_fail(db, "be asked", errs);

        sqlite3_finalize(statement);
        return result;
    }
    *ret_statement = statement;
    return 0;
}

int db_run(struct service_db *db, struct errs *errs, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list args;
    int result, code;

    va_start(args, types);
    result = prepare(db, errs, &statement, sql, types, args);
    va_end(args);
    if (result < 0)
        return result;
    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    if (code == SQLITE_CONSTRAINT)
        result = -EEXIST;
    else if (code != SQLITE_DONE)
        result = db_fail(db, "be changed", errs);
    sqlite3_finalize(statement);
    return result;
}

int db_query(struct service_db *db, struct errs *errs, sqlite3_stmt **ret_statement, const char *sql, const char *types, ...)
{
    va_list args;
    int result;

    va_start(args, types);
    result = prepare(db, errs, ret_statement, sql, types, args);
    va_end(args);
    return result;
}

int db_step(struct service_db *db, sqlite3_stmt *statement, struct errs *errs)
{
    int code = sqlite3_step(statement);

    return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : db_fail(db, "be read", errs);
}

const char *db_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

char *db_take_text(sqlite3_stmt *statement, int column)
{
    const char *text = db_text(statement, column);

    return text ? strdup(text) : NULL;
}

static int execute(struct service_db *db, const char *sql, const char *what, struct errs *errs)
{
    return sqlite3_exec(db->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(db, what, errs);
}

int db_begin(struct service_db *db, struct errs *errs)
{
    return execute(db, "BEGIN IMMEDIATE", "be changed", errs);
}

int db_end(struct service_db *db, int result, struct errs *errs)
{
    if (result == 0)
        result = execute(db, "COMMIT", "be changed", errs);
    if (result < 0)
        sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL); /* fails where SQLite has rolled back by itself: then there is nothing left to do */
    return result;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

static int read_version(struct service_db *db, int *ret_version, struct errs *errs)
{
    sqlite3_stmt *statement;
    int result = db_query(db, errs, &statement, "PRAGMA user_version", "");

    if (result < 0)
        return result;
    result = db_step(db, statement, errs);
    if (result > 0)
        *ret_version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return result < 0 ? result : 0;
}

static int migrate(struct service_db *db, struct errs *errs)
{
    int version = 0, result = read_version(db, &version, errs);
    char sql[64];

    if (result == 0 && version > VERSION) {
        errs_add(errs, ERR_WORLD, db->path, "was written by a newer perturb (version %d, this program knows %d); start that one, or name another --data",
                 version, VERSION);
        return -EPROTONOSUPPORT;
    }
    if (result < 0 || version == VERSION)
        return result;
    result = db_begin(db, errs);
    if (result < 0)
        return result;
    for (int step = version; result == 0 && step < VERSION; step++)
        result = execute(db, steps[step], "be brought to this version", errs);
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", VERSION);
    if (result == 0)
        result = execute(db, sql, "be brought to this version", errs);
    return db_end(db, result, errs);
}

/* "ok", or what is wrong. A page that cannot be read at all is an error of the query itself. */
static int check_integrity(struct service_db *db, struct errs *errs)
{
    sqlite3_stmt *statement;
    int result = db_query(db, errs, &statement, "PRAGMA quick_check(1)", "");

    if (result < 0)
        return result;
    result = db_step(db, statement, errs);
    if (result > 0 && strcmp(db_text(statement, 0), "ok") != 0) {
        errs_add(errs, ERR_WORLD, db->path,
                 "is damaged (%s); end the service, move the file away (with its -wal and -shm) and start again: schedules of serve.yaml and all "
                 "results of runs are kept elsewhere",
                 db_text(statement, 0));
        result = -EBADMSG;
    }
    sqlite3_finalize(statement);
    return result < 0 ? result : 0;
}

int service_db_open(const char *path, struct service_db *ret_db, struct errs *errs)
{
    struct service_db db = { .path = strdup(path) };
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), result = 0;

    if (fd >= 0)
        close(fd); /* before SQLite has it: closing it later would drop SQLite's locks (sqlite.org/howtocorrupt.html) */
    if (!db.path)
        return errs_add(errs, ERR_INTERNAL, path, "out of memory");
    if (sqlite3_open_v2(path, &db.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        result = db_fail(&db, "be opened", errs);
    if (result == 0) {
        sqlite3_busy_timeout(db.db, BUSY_TIMEOUT_MS);
        result = execute(&db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;", "be opened", errs);
    }
    if (result == 0)
        result = check_integrity(&db, errs);
    if (result == 0)
        result = migrate(&db, errs);
    if (result < 0) {
        service_db_close(&db);
        return result;
    }
    *ret_db = db;
    return 0;
}

void service_db_close(struct service_db *db)
{
    sqlite3_close(db->db);
    free(db->path);
    *db = (struct service_db){ NULL, NULL };
}
