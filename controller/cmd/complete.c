/* Completion: what may stand in place of the word under the cursor. Options and their words come from the commands' own help (usage.h),
 * names from the tables, from the history and from the registry, at the moment they are asked for. */
#include "controller/cmd/hidden.h"

#include "controller/cmd/usage.h"
#include "controller/look/pages.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/fault.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { RUNS_SHOWN = 50 };

/* One candidate, when it begins with what was typed; control characters would break the line. */
static void offer(const char *typed, const char *word, const char *what)
{
    if (strncmp(word, typed, strlen(typed)) != 0)
        return;
    for (const char *at = word; *at; at++)
        if (iscntrl((unsigned char)*at))
            return;
    printf("%s", word);
    putchar('\t');
    for (const char *at = what; at && *at && *at != '\n'; at++)
        putchar(iscntrl((unsigned char)*at) ? ' ' : *at);
    putchar('\n');
}

/* ---- faults: NAME[@POINT][:ITEM,ITEM...] --------------------------------------------------------------------------------- */

/* Names among the layers of a mask, each once. */
static void offer_names(const char *typed, uint64_t layers)
{
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        bool told = !(layers & BIT(fault_descs[i].layer));

        for (size_t before = 0; before < i; before++)
            told |= layers & BIT(fault_descs[before].layer) && !strcmp(fault_descs[before].name, fault_descs[i].name);
        if (!told)
            offer(typed, fault_descs[i].name, fault_descs[i].help);
    }
}

/* The parameters and selectors that an item may set, after what stands before it. */
static void offer_items(const char *typed, size_t kept, const struct fault_desc *fault)
{
    char word[512];

    for (size_t p = 0; p < fault->param_count; p++) {
        snprintf(word, sizeof(word), "%.*s%s=", (int)kept, typed, fault->params[p].name);
        offer(typed, word, fault->params[p].help);
    }
    for (size_t s = 0; s < SELECTOR_COUNT; s++)
        if (fault->selectors & BIT(s) && !fault_param(fault, selector_descs[s].name)) {
            snprintf(word, sizeof(word), "%.*s%s=", (int)kept, typed, selector_descs[s].name);
            offer(typed, word, selector_descs[s].help);
        }
}

static void offer_points(const char *typed, size_t kept, const struct fault_desc *fault)
{
    char word[512];

    for (size_t p = 0; p < POINT_COUNT; p++)
        if (fault_points[fault->id] & BIT(p)) {
            snprintf(word, sizeof(word), "%.*s%s", (int)kept, typed, point_descs[p].name);
            offer(typed, word, point_descs[p].help);
        }
}

/* A name, a point after '@', an item after ':' or ','. What names a point is a call fault. */
static void offer_fault_of(const char *typed, uint64_t layers)
{
    const char *at = strchr(typed, '@'), *item = strchr(typed, ':');
    char name[64];

    for (const char *look = item; look && *look; look++)
        item = *look == ':' || *look == ',' ? look + 1 : item;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(typed, "@:"), typed);
    if (!item && !at)
        offer_names(typed, layers);
    for (size_t i = 0; i < FAULT_COUNT && (item || at); i++) {
        if (!(layers & BIT(fault_descs[i].layer)) || strcmp(fault_descs[i].name, name) != 0 || (at && !fault_points[i]))
            continue;
        if (item)
            offer_items(typed, (size_t)(item - typed), &fault_descs[i]);
        else
            offer_points(typed, (size_t)(at + 1 - typed), &fault_descs[i]);
    }
}

/* ---- what there is now ---------------------------------------------------------------------------------------------------- */

/* Playbooks below what was typed, and directories to look into. */
static void offer_playbooks(const char *typed)
{
    const char *slash = strrchr(typed, '/');
    size_t kept = slash ? (size_t)(slash + 1 - typed) : 0;
    char directory[1024], word[2048];
    struct dirent *entry;
    struct stat status;
    DIR *list;

    snprintf(directory, sizeof(directory), "%.*s", (int)kept, typed);
    list = opendir(kept ? directory : ".");
    while (list && (entry = readdir(list))) {
        const char *dot = strrchr(entry->d_name, '.');

        snprintf(word, sizeof(word), "%s%s", directory, entry->d_name);
        if (entry->d_name[0] == '.' || stat(word, &status) < 0)
            continue;
        if (S_ISDIR(status.st_mode)) {
            snprintf(word, sizeof(word), "%s%s/", directory, entry->d_name);
            offer(typed, word, "directory");
        } else if (dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json")))
            offer(typed, word, "playbook");
    }
    if (list)
        closedir(list);
}

static void offer_runs(const char *typed)
{
    static struct errs errs;
    struct store_history *history;
    struct store_run *runs;
    size_t count;

    offer(typed, "last", "the newest run");
    if (store_history_open(NULL, &history, &errs) < 0)
        return;
    if (store_history_list(history, RUNS_SHOWN, &runs, &count, &errs) == 0) {
        for (size_t i = 0; i < count; i++)
            offer(typed, runs[i].id, runs[i].title);
        store_runs_free(runs, count);
    }
    store_history_close(history);
}

/* Pages by name, and the processes under them by number. */
static void offer_pages(const char *typed)
{
    static struct errs errs;
    struct registry registry;
    struct pages pages;

    if (pages_registry("complete", &registry, &errs) < 0)
        return;
    if (pages_select(&registry, NULL, &pages, &errs) == 0)
        for (size_t i = 0; i < pages.count; i++) {
            static struct page_process list[CONTROL_PROCESSES_MAX];
            size_t count = page_processes(pages.list[i], list, ARRAY_SIZE(list));
            char number[16];

            offer(typed, page_name(pages.list[i]), "a program under the shim, with its children");
            for (size_t p = 0; p < count; p++) {
                snprintf(number, sizeof(number), "%d", (int)list[p].pid);
                offer(typed, number, page_name(pages.list[i]));
            }
        }
    pages_close(&pages);
    registry_close(&registry);
}

static void offer_pids(const char *typed)
{
    DIR *list = opendir("/proc");
    struct dirent *entry;

    while (list && (entry = readdir(list))) {
        char path[300], name[64] = "";
        FILE *file;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        file = fopen(path, "re");
        if (file && fgets(name, sizeof(name), file))
            offer(typed, entry->d_name, name);
        if (file)
            fclose(file);
    }
    if (list)
        closedir(list);
}

static void offer_all_faults(const char *typed)
{
    offer_names(typed, BIT(LAYER_STREAM) | BIT(LAYER_DATAGRAM) | BIT(LAYER_CALL) | BIT(LAYER_HOST));
}

static void offer_call_faults(const char *typed)
{
    offer_fault_of(typed, BIT(LAYER_CALL));
}

static void offer_exec_faults(const char *typed)
{
    offer_fault_of(typed, BIT(LAYER_STREAM) | BIT(LAYER_CALL));
}

static void offer_files(const char *typed)
{
    (void)typed;
    puts(":files\t");
}

/* A word of a synopsis and what it stands for. */
static const struct {
    const char *command; /* NULL: any */
    const char *word;
    void (*offer)(const char *typed);
} meanings[] = {
    { "faults", "NAME", offer_all_faults },
    { NULL, "PLAYBOOK...", offer_playbooks },
    { NULL, "PLAYBOOK", offer_playbooks },
    { NULL, "FAULT...", offer_call_faults },
    { NULL, "FAULT", offer_exec_faults },
    { NULL, "RUN", offer_runs },
    { "compare", "A", offer_runs },
    { "compare", "B", offer_runs },
    { "arm", "TARGET", offer_pages },
    { "disarm", "TARGET", offer_pages },
    { "detach", "PID", offer_pages },
    { NULL, "PID", offer_pids },
    { NULL, "EXE", offer_files },
    { NULL, "FILE", offer_files },
    { NULL, "FORMAT=FILE", offer_files },
    { NULL, "DIR", offer_files },
    { NULL, "SERIES", offer_files },
    { NULL, "BEFORE", offer_files },
    { NULL, "AFTER", offer_files },
    { NULL, "F", offer_files },
};

/* What a value such as "text|json", "RUN" or "PID|EXE" may be: its words, or what they stand for. */
static void offer_value(const struct command *command, const char *value, const char *typed)
{
    char word[64];

    for (; *value; value += strcspn(value, "|"), value += *value == '|') {
        bool known = false;

        snprintf(word, sizeof(word), "%.*s", (int)strcspn(value, "|"), value);
        for (size_t i = 0; i < ARRAY_SIZE(meanings) && !known; i++)
            if (!strcmp(meanings[i].word, word) && (!meanings[i].command || !strcmp(meanings[i].command, command->name))) {
                meanings[i].offer(typed);
                known = true;
            }
        if (!known && !isupper((unsigned char)word[0]))
            offer(typed, word, "");
    }
}

/* ---- options -------------------------------------------------------------------------------------------------------------- */

/* Calls `each` with every option of a command and its one line of help; stops when it returns true, which is then returned. */
static bool each_option(const struct command *command, bool (*each)(const struct usage_option *option, const char *text, void *context),
                        void *context)
{
    struct usage_reader reader = { .at = command->help };
    const char *at = command->synopsis, *end = at + strlen(at);
    struct usage_option option;
    struct usage_line line;
    char text[160];

    while (usage_option(&at, end, &option))
        if (each(&option, NULL, context))
            return true;
    while (usage_next(&reader, &line)) {
        if (line.kind != USAGE_DEFINITION)
            continue;
        snprintf(text, sizeof(text), "%.*s", line.text_length, line.text);
        for (at = line.head; usage_option(&at, line.head + line.head_length, &option);)
            if (each(&option, text, context))
                return true;
        for (at = line.text; line.head[0] == '-' && usage_option(&at, line.text + line.text_length, &option);)
            if (each(&option, NULL, context))
                return true;
    }
    return false;
}

struct wanted {
    const char *name;
    char value[64];
};

/* The most telling of what synopsis and help say of its value: the one with words to choose from. */
static bool find_value(const struct usage_option *option, const char *text, void *context)
{
    struct wanted *wanted = context;

    (void)text;
    if (!strcmp(option->name, wanted->name) && (!wanted->value[0] || (strchr(option->value, '|') && !strchr(wanted->value, '|'))))
        snprintf(wanted->value, sizeof(wanted->value), "%s", option->value);
    return false;
}

struct told {
    const char *typed;
    char names[64][32];
    size_t count;
    bool with_text; /* this pass offers only those that have a text; the next the others */
};

static bool offer_option(const struct usage_option *option, const char *text, void *context)
{
    struct told *told = context;

    if (told->with_text != (text && *text) || told->count == ARRAY_SIZE(told->names))
        return false;
    for (size_t i = 0; i < told->count; i++)
        if (!strcmp(told->names[i], option->name))
            return false;
    snprintf(told->names[told->count++], sizeof(told->names[0]), "%s", option->name);
    offer(told->typed, option->name, text ? text : "");
    return false;
}

static void offer_options(const struct command *command, const char *typed)
{
    struct told told = { .typed = typed, .with_text = true };

    each_option(command, offer_option, &told);
    told.with_text = false;
    each_option(command, offer_option, &told);
    offer(typed, "--help", "what the command takes");
}

/* The arguments in their order: the words of the synopsis outside of options. The last one, when it may be repeated or there are
 * more words than places, stands for all further ones. */
static void offer_argument(const struct command *command, size_t number, const char *typed)
{
    char last[64] = "";
    size_t place = 0;

    for (const char *at = command->synopsis; *at;) {
        size_t length = strcspn(at, " ");
        const char *word = at + strspn(at, "[");

        if (*word == '-') { /* an option, with its value when that is in the same brackets */
            const char *close = *at == '[' ? strchr(at, ']') : NULL;

            length = close ? (size_t)(close + 1 - at) + strcspn(close + 1, " ") : length;
            if (!close && word[1] == '-' && isupper((unsigned char)at[length + (at[length] == ' ')]))
                length += 1 + strcspn(at + length + 1, " ");
        } else if (length && isalpha((unsigned char)*word)) {
            snprintf(last, sizeof(last), "%.*s", (int)strcspn(word, "] "), word);
            if (place++ == number)
                break;
        }
        at += length;
        at += strspn(at, " |");
    }
    offer_value(command, last, typed);
}

static void complete_command(const struct command *command, int count, char **words)
{
    const char *typed = words[count - 1];
    struct wanted wanted = { 0 };
    size_t arguments = 0;

    for (int i = 0; i < count - 1; i++) {
        wanted = (struct wanted){ .name = words[i] };
        if (!strcmp(words[i], "--")) { /* a program's own words */
            offer_files(typed);
            return;
        }
        if (words[i][0] == '-')
            each_option(command, find_value, &wanted);
        else
            arguments++;
        if (wanted.value[0] && ++i == count - 1) {
            offer_value(command, wanted.value, typed);
            return;
        }
    }
    if (typed[0] == '-')
        offer_options(command, typed);
    else
        offer_argument(command, arguments, typed);
}

int hidden_complete(const struct command *const *commands, size_t count, int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "--") != 0)
        return ERR_USAGE;
    for (size_t i = 0; i < count; i++)
        if (argc == 3)
            offer(argv[2], commands[i]->name, commands[i]->summary);
        else if (!strcmp(commands[i]->name, argv[2]))
            complete_command(commands[i], argc - 3, argv + 3);
    if (argc == 3 && argv[2][0] == '-') {
        offer(argv[2], "--help", "list the commands");
        offer(argv[2], "--version", "print the version");
    }
    return fflush(stdout) ? ERR_WORLD : 0;
}
