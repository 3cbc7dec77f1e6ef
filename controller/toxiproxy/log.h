/* The server's log: one JSON object a line on stdout, {"level","time","message", and pairs of texts}, as zerolog writes them. */
#ifndef PERTURB_TOXIPROXY_LOG_H
#define PERTURB_TOXIPROXY_LOG_H

enum log_level {
    LOG_LEVEL_TRACE,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_FATAL,
    LOG_LEVEL_PANIC,
    LOG_LEVEL_DISABLED
};

/* Takes the level of a word of LOG_LEVEL ("debug"); NULL, "" and unknown words are trace: everything. */
void log_level_set(const char *word);

/* Pairs of name and value follow, ended by NULL; a NULL value leaves its pair out. */
void log_line(enum log_level level, const char *message, ...) __attribute__((sentinel));

#endif
