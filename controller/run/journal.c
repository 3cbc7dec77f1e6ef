/* The undo journal. */
#include "controller/run/journal.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 640 };

const char *const journal_state_names[JOURNAL_STATES] = { "planned", "applied", "undone", "moot", "failed" };

static int start(struct journal *journal, int fd)
{
    if (fd < 0)
        return -errno;
    *journal = (struct journal){ .fd = fd, .entries = calloc(JOURNAL_ENTRIES_MAX, sizeof(struct journal_entry)) };
    if (journal->entries)
        return 0;
    close(fd);
    journal->fd = -1;
    return -ENOMEM;
}

int journal_create(struct journal *journal, const char *path)
{
    return start(journal, open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
}

void journal_close(struct journal *journal)
{
    if (!journal->entries)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->entries);
    *journal = (struct journal){ .fd = -1 };
}

static struct journal_entry *find(struct journal *journal, uint64_t seq)
{
    return seq >= 1 && seq <= journal->count ? &journal->entries[seq - 1] : NULL;
}

static int append(struct journal *journal, const struct journal_entry *entry)
{
    char body[LINE_MAX_BYTES - 20], line[LINE_MAX_BYTES];
    ssize_t written;
    off_t before;
    int length;

    snprintf(body, sizeof(body), "%" PRIu64 " %s %s %s", entry->seq, journal_state_names[entry->state], entry->verb, entry->argument);
    length = snprintf(line, sizeof(line), "%016" PRIx64 " %s\n", rng_hash(body), body);
    if (journal->fd < 0)
        return -EROFS;
    before = lseek(journal->fd, 0, SEEK_END);
    written = write(journal->fd, line, (size_t)length);
    if (written != length) {
        int error = written < 0 ? errno : ENOSPC;

        /* Half a line in the middle would hide what follows it. */
        (void)!ftruncate(journal->fd, before);
        return -error;
    }
    return fdatasync(journal->fd) < 0 ? -errno : 0;
}

int journal_plan(struct journal *journal, const char *verb, const char *argument, uint64_t *ret_seq)
{
    struct journal_entry *entry;
    int result;

    if (strlen(verb) >= JOURNAL_VERB_MAX || strlen(argument) >= JOURNAL_ARGUMENT_MAX || strchr(argument, '\n'))
        return -EINVAL;
    if (journal->count == JOURNAL_ENTRIES_MAX)
        return -ENOSPC;
    entry = &journal->entries[journal->count];
    *entry = (struct journal_entry){ .seq = journal->count + 1, .state = JOURNAL_PLANNED };
    memcpy(entry->verb, verb, strlen(verb) + 1);
    memcpy(entry->argument, argument, strlen(argument) + 1);
    result = append(journal, entry);
    if (result < 0)
        return result;
    journal->count++;
    *ret_seq = entry->seq;
    return 0;
}

int journal_mark(struct journal *journal, uint64_t seq, enum journal_state state)
{
    struct journal_entry *entry = find(journal, seq);

    if (!entry)
        return -ENOENT;
    entry->state = state;
    return append(journal, entry);
}

/* One line into the entries; false when it fails its check or its form. */
static bool take_line(struct journal *journal, const char *line)
{
    char state[12], verb[JOURNAL_VERB_MAX];
    struct journal_entry *entry;
    uint64_t check, seq;
    int at = 0, argument_at = 0;

    if (sscanf(line, "%16" SCNx64 " %n", &check, &at) != 1 || !at || rng_hash(line + at) != check)
        return false;
    if (sscanf(line + at, "%" SCNu64 " %11s %15s %n", &seq, state, verb, &argument_at) != 3 || seq < 1 || seq > journal->count + 1 ||
        seq > JOURNAL_ENTRIES_MAX)
        return false;
    entry = &journal->entries[seq - 1];
    if (seq > journal->count)
        journal->count = seq;
    entry->seq = seq;
    for (int i = 0; i < JOURNAL_STATES; i++)
        if (!strcmp(state, journal_state_names[i]))
            entry->state = (enum journal_state)i;
    snprintf(entry->verb, sizeof(entry->verb), "%s", verb);
    snprintf(entry->argument, sizeof(entry->argument), "%s", line + at + argument_at);
    return true;
}

/* `ret_torn_at` is where the first line that is not whole begins, the length when all are. */
static int read_lines(struct journal *journal, size_t *ret_torn_at, size_t *ret_length)
{
    struct buf text;
    size_t good = 0;
    int result;

    buf_init(&text, 4 << 20);
    result = buf_read_fd(&text, journal->fd);
    while (!result && good < text.length) {
        char *end = memchr(text.data + good, '\n', text.length - good);

        if (!end)
            break;
        *end = '\0';
        if (!take_line(journal, text.data + good))
            break;
        good = (size_t)(end - text.data) + 1;
    }
    *ret_torn_at = good;
    *ret_length = text.length;
    buf_done(&text);
    return result;
}

int journal_open(struct journal *journal, const char *path)
{
    int result = start(journal, open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
    size_t torn_at = 0, length = 0;

    if (result < 0)
        return result;
    result = read_lines(journal, &torn_at, &length);
    if (!result && torn_at < length && ftruncate(journal->fd, (off_t)torn_at) < 0)
        result = -errno;
    if (result < 0)
        journal_close(journal);
    return result;
}

int journal_load(struct journal *journal, const char *path)
{
    int result = start(journal, open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    size_t torn_at = 0, length = 0;

    if (result < 0)
        return result;
    result = read_lines(journal, &torn_at, &length);
    close(journal->fd);
    journal->fd = -1;
    if (result < 0)
        journal_close(journal);
    return result;
}
