#include "controller/cmd/counts.h"

#include "scenarios/base/clock.h"

#include <inttypes.h>
#include <string.h>

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
