/* service.db: what the service has to remember. One SQLite file, written by one process (the service holds a lock on DATA), used under
 * the service's mutex only.
 *
 * 1. WAL with synchronous=FULL: a committed change outlives SIGKILL and a power cut (sqlite.org/pragma.html#pragma_synchronous).
 * 2. The schema grows in steps (schema.def), all in one transaction; a step is never edited once released, a newer file is refused.
 * 3. Opening checks the whole file. What is wrong with it is one error that names the file and what to do. */
#ifndef PERTURB_SERVE_DB_H
#define PERTURB_SERVE_DB_H

#include "scenarios/base/err.h"

#include <sqlite3.h>
#include <stdint.h>

struct service_db {
    sqlite3 *db;
    char *path; /* owned */
};

/* Opens or makes the file, 0600. 0; with one error added: -EBADMSG damaged or no database, -EPROTONOSUPPORT newer, -EBUSY locked by
 * another program, -ENOSPC, -EACCES, -EROFS, -EIO. service_db_close accepts a zeroed one. */
int service_db_open(const char *path, struct service_db *ret_db, struct errs *errs);
void service_db_close(struct service_db *db);

/* One statement with its values; `types` has a letter each: 't' const char * (NULL is NULL), 'i' int64_t, 'r' double (NaN is NULL).
 * Texts are copied. db_run: 0, or negative with an error added; -EEXIST (no error added) where a key is taken already. */
int db_run(struct service_db *db, struct errs *errs, const char *sql, const char *types, ...);

/* The same for rows: a statement to be stepped by db_step and ended by sqlite3_finalize. */
int db_query(struct service_db *db, struct errs *errs, sqlite3_stmt **ret_statement, const char *sql, const char *types, ...);

/* 1 a row, 0 the end, negative with an error added. */
int db_step(struct service_db *db, sqlite3_stmt *statement, struct errs *errs);

const char *db_text(sqlite3_stmt *statement, int column); /* borrowed until the next step; NULL for NULL */
char *db_take_text(sqlite3_stmt *statement, int column);  /* new; NULL for NULL or without memory */

/* A transaction. db_end commits when `result` is 0, else it rolls back; returns `result`, or the failure of the commit. */
int db_begin(struct service_db *db, struct errs *errs);
int db_end(struct service_db *db, int result, struct errs *errs);

/* Adds what SQLite says: "cannot WHAT: ...". Returns the -errno that fits. */
int db_fail(const struct service_db *db, const char *what, struct errs *errs);

#endif
