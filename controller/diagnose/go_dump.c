/* The parser of Go task dumps: one pass over the lines, strings left in place. */
#include "controller/diagnose/go_dump.h"

#include "scenarios/base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS_MAX = 4000000, WORDS_A_FRAME_MAX = 16 };

struct parser {
    struct go_dump dump;
    size_t task_room, frame_room, word_room;
    const char *name;
    struct errs *errs;
    uint32_t line;
    bool in_task;
    bool after_maker; /* the next line is the place of a "created by" */
};

static int grow(void *list, size_t count, size_t *room, size_t size)
{
    void **place = list;
    size_t more = *room ? *room * 2 : 256;
    void *grown;

    if (count < *room)
        return 0;
    grown = reallocarray(*place, more, size);
    if (!grown)
        return -ENOMEM;
    *place = grown;
    *room = more;
    return 0;
}

static int refuse(struct parser *parser, const char *what, const char *line)
{
    char where[ERR_WHERE_MAX];

    snprintf(where, sizeof(where), "%s:%u", parser->name, parser->line);
    return errs_add(parser->errs, ERR_INPUT, where, "%s in '%.80s'; expected 'goroutine N [STATE]:'", what, line);
}

/* "12 [chan receive, 5 minutes]:" or, since Go 1.23, "12 gp=0xc00 m=nil [select]:". */
static int parse_header(struct parser *parser, char *line)
{
    struct go_task *task;
    char *end, *open, *close, *part;
    uint64_t id = strtoull(line + strlen("goroutine "), &end, 10);

    if (end == line + strlen("goroutine "))
        return refuse(parser, "no number", line);
    open = strchr(end, '[');
    close = open ? strrchr(open, ']') : NULL;
    if (!close || close[1] != ':')
        return refuse(parser, "no state", line);
    if (parser->dump.task_count == TASKS_MAX)
        return refuse(parser, "more tasks than can be read", line);
    if (grow(&parser->dump.tasks, parser->dump.task_count, &parser->task_room, sizeof(*task)) < 0)
        return -ENOMEM;
    task = &parser->dump.tasks[parser->dump.task_count++];
    *task = (struct go_task){ .id = id, .line = parser->line, .state = open + 1, .maker = "", .frame_first = (uint32_t)parser->dump.frame_count };
    *close = '\0';
    part = strchr(open + 1, ',');
    while (part) {
        unsigned long value = strtoul(part + 1, &end, 10);

        *part = '\0';
        if (end != part + 1 && !strncmp(end, " minute", 7))
            task->minutes = (uint32_t)value;
        part = strchr(part + 1, ',');
    }
    parser->in_task = true;
    parser->after_maker = false;
    return 0;
}

/* The words of "(0xc00001c0a0, {0x1, 0x2?}, ...)". */
static int parse_words(struct parser *parser, struct go_frame *frame, const char *text)
{
    frame->word_first = (uint32_t)parser->dump.word_count;
    while ((text = strstr(text, "0x")) && frame->word_count < WORDS_A_FRAME_MAX) {
        char *end;
        uint64_t word = strtoull(text, &end, 16);

        if (grow(&parser->dump.words, parser->dump.word_count, &parser->word_room, sizeof(word)) < 0)
            return -ENOMEM;
        parser->dump.words[parser->dump.word_count++] = word;
        frame->word_count++;
        text = end;
    }
    return 0;
}

/* "main.(*pool).run(0xc000, ...)": the arguments begin at the last "(" that its ")" closes at the end. */
static int parse_frame(struct parser *parser, char *line)
{
    struct go_task *task = &parser->dump.tasks[parser->dump.task_count - 1];
    size_t length = strlen(line), at = length;
    struct go_frame *frame;
    int depth = 0;

    if (!length || line[length - 1] != ')')
        return 0; /* "...additional frames elided..." and the like */
    do {
        at--;
        depth += line[at] == ')' ? 1 : line[at] == '(' ? -1 : 0;
    } while (at && depth);
    if (depth || !at)
        return 0;
    if (grow(&parser->dump.frames, parser->dump.frame_count, &parser->frame_room, sizeof(*frame)) < 0)
        return -ENOMEM;
    line[at] = '\0';
    frame = &parser->dump.frames[parser->dump.frame_count++];
    *frame = (struct go_frame){ .function = line, .place = "" };
    task->frame_count++;
    return parse_words(parser, frame, line + at + 1);
}

static void parse_maker(struct parser *parser, char *line)
{
    struct go_task *task = &parser->dump.tasks[parser->dump.task_count - 1];
    char *in = strstr(line, " in goroutine ");

    if (in) {
        task->creator = strtoull(in + strlen(" in goroutine "), NULL, 10);
        *in = '\0';
    }
    task->maker = line + strlen("created by ");
    parser->after_maker = true;
}

static void parse_place(struct parser *parser, char *line)
{
    struct go_task *task = &parser->dump.tasks[parser->dump.task_count - 1];
    char *offset = strstr(line, " +0x");

    if (offset)
        *offset = '\0';
    if (task->frame_count && !parser->after_maker)
        parser->dump.frames[parser->dump.frame_count - 1].place = line + 1;
    parser->after_maker = false;
}

static int parse_line(struct parser *parser, char *line)
{
    if (!strncmp(line, "goroutine ", strlen("goroutine ")) && line[10] != ' ' && strchr(line, '['))
        return parse_header(parser, line);
    if (!strncmp(line, "goroutine ", strlen("goroutine ")) && line[10] >= '0' && line[10] <= '9')
        return refuse(parser, "no state", line);
    if (!parser->in_task)
        return 0;
    if (!line[0])
        parser->in_task = false;
    else if (line[0] == '\t')
        parse_place(parser, line);
    else if (!strncmp(line, "created by ", strlen("created by ")))
        parse_maker(parser, line);
    else
        return parse_frame(parser, line);
    return 0;
}

static void hash_stacks(struct go_dump *dump)
{
    for (size_t i = 0; i < dump->task_count; i++) {
        struct go_task *task = &dump->tasks[i];
        uint64_t hash = rng_hash(task->maker);

        for (uint32_t k = 0; k < task->frame_count; k++) {
            const struct go_frame *frame = &dump->frames[task->frame_first + k];

            hash = rng_mix(rng_mix(hash, rng_hash(frame->function)), rng_hash(frame->place));
        }
        task->stack_hash = hash;
    }
}

static bool ends_early(const struct go_dump *dump)
{
    const struct go_task *last = &dump->tasks[dump->task_count - 1];

    return !last->frame_count || !dump->frames[last->frame_first + last->frame_count - 1].place[0];
}

bool go_dump_is(const char *text, size_t size)
{
    const char *place = memmem(text, size, "goroutine ", strlen("goroutine "));

    return place && (place == text || place[-1] == '\n');
}

int go_dump_parse(char *text, size_t size, const char *name, struct go_dump *ret_dump, struct errs *errs)
{
    struct parser parser = { .dump.text = text, .name = name, .errs = errs };
    char *line = text, *end = text + size;
    int result = 0;

    while (line < end && (!result || result == -EINVAL) && errs->count < ERRS_MAX) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        size_t length;
        int found;

        if (!next)
            next = end;
        *next = '\0';
        length = strlen(line);
        if (length && line[length - 1] == '\r')
            line[length - 1] = '\0';
        parser.line++;
        found = parse_line(&parser, line);
        if (found < 0)
            result = found;
        line = next + 1;
    }
    if (!result && !parser.dump.task_count)
        result = errs_add(errs, ERR_INPUT, name, "no goroutine in it; expected a dump of tasks as /debug/pprof/goroutine?debug=2 gives");
    if (result < 0) {
        go_dump_done(&parser.dump);
        return result;
    }
    parser.dump.truncated = ends_early(&parser.dump);
    hash_stacks(&parser.dump);
    *ret_dump = parser.dump;
    return 0;
}

void go_dump_done(struct go_dump *dump)
{
    free(dump->text);
    free(dump->tasks);
    free(dump->frames);
    free(dump->words);
    memset(dump, 0, sizeof(*dump));
}
