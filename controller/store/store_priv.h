/* Inside of the store: the open history, shared by the files that keep a table of it. */
#ifndef PERTURB_STORE_PRIV_H
#define PERTURB_STORE_PRIV_H

#include "controller/store/store.h"

#include <sqlite3.h>

struct store_history {
    sqlite3 *db;
    char *path;
};

/* Adds what SQLite says as an error: "cannot WHAT: ...". Returns the -errno that fits. */
int store_fail(const struct store_history *history, const char *what, struct errs *errs);

/* The step of the schema that makes the ledger (findings.c); never edited once released. */
#define STORE_FINDINGS_SCHEMA                                                                                                     \
    "CREATE TABLE finding (id INTEGER PRIMARY KEY, series TEXT NOT NULL, playbook TEXT, title TEXT, service TEXT,"              \
    " opened_run TEXT NOT NULL, opened TEXT, last_run TEXT, last TEXT, failures INTEGER NOT NULL DEFAULT 1, verdict TEXT,"      \
    " why TEXT, owner TEXT, due TEXT, closed_run TEXT, closed TEXT);"                                                            \
    "CREATE UNIQUE INDEX finding_open ON finding (series) WHERE closed_run IS NULL;"

#endif
