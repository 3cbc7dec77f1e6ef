#include "controller/cmd/counts.h"

#include "scenarios/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 12 }; /* of processes, a rule */

void counts_print(FILE *out, const struct rule_status *list, size_t count, uint64_t origin_ns)
{
    int width = (int)sizeof("fault") - 1;

    for (size_t i = 0; i < count; i++)
        if ((int)strlen(list[i].name) > width)
            width = (int)strlen(list[i].name);
    fprintf(out, "  %-*s %10s %10s %10s %10s  %s\n", width, "fault", "matched", "eligible", "fired", "skipped", "first at");
    for (size_t i = 0; i < count; i++) {
        const struct rule_counts *counts = &list[i].counts;

        fprintf(out, "  %-*s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64, width, list[i].name, counts->matched,
                counts->eligible, counts->fired, counts->skipped);
        if (counts->first_ns >= origin_ns && counts->first_ns)
            fprintf(out, "  +%.6f s\n", (double)(counts->first_ns - origin_ns) / (double)NS_PER_S);
        else
            fprintf(out, "  %s\n", counts->first_ns ? "before" : "never");
    }
}

static void print_share(FILE *out, const char *who, const struct control_share *share)
{
    fprintf(out, "    %-28s %10" PRIu64 " %10s %10" PRIu64 "\n", who, share->matched, "", share->fired);
}

struct row {
    const struct page_process *process;
    struct control_share share;
};

static int by_matched(const void *a, const void *b)
{
    const struct row *left = a, *right = b;

    return (left->share.matched < right->share.matched) - (left->share.matched > right->share.matched);
}

static size_t collect(const struct page *page, size_t rule, const struct page_process *list, size_t count, struct row *rows)
{
    size_t filled = 0;

    for (size_t i = 0; i < count; i++) {
        rows[filled].process = &list[i];
        page_share(page, list[i].slot, rule, &rows[filled].share);
        filled += rows[filled].share.matched != 0;
    }
    qsort(rows, filled, sizeof(*rows), by_matched);
    return filled;
}

/* Those with the most matches, and as one line the others, listed or not. */
static void print_rule_shares(FILE *out, const struct page *page, size_t rule, const struct rule_counts *counts,
                              const struct page_process *list, size_t count)
{
    static struct row rows[CONTROL_PROCESSES_MAX];
    struct control_share rest = { counts->matched, counts->fired };
    size_t filled = collect(page, rule, list, count, rows);
    char who[64];

    for (size_t i = 0; i < filled && i < LINES_MAX; i++) {
        const struct page_process *process = rows[i].process;
        const struct control_share *share = &rows[i].share;

        snprintf(who, sizeof(who), "%s %d%s", process->comm, (int)(process->pid ? process->pid : process->inner), process->pid ? "" : " (ended)");
        print_share(out, who, share);
        rest.matched -= share->matched < rest.matched ? share->matched : rest.matched;
        rest.fired -= share->fired < rest.fired ? share->fired : rest.fired;
    }
    if (rest.matched)
        print_share(out, "others", &rest);
}

void counts_print_shares(FILE *out, const struct page *page, const struct rule_status *list, size_t count)
{
    static struct page_process processes[CONTROL_PROCESSES_MAX];
    size_t process_count = page_listed(page, processes, CONTROL_PROCESSES_MAX);

    if (process_count < 2)
        return;
    for (size_t i = 0; i < count && i < CONTROL_SHARES_MAX; i++) {
        if (!list[i].counts.matched)
            continue;
        fprintf(out, "  %s by process\n", list[i].name);
        print_rule_shares(out, page, i, &list[i].counts, processes, process_count);
    }
    if (count > CONTROL_SHARES_MAX)
        fprintf(out, "  by process only the first %d of %zu faults are counted\n", CONTROL_SHARES_MAX, count);
}
