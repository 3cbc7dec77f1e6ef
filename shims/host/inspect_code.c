/* Section perturb_points of a file, every length checked. Control plane. */
#define PERTURB_POINTS_OFF /* the layout only */
#include "shims/host/inspect_code.h"

#include "shims/include/perturb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CODES_MAX = 65536 };

static bool is_known(const struct inspection *inspection, const char *name, const char *file, uint32_t line)
{
    for (size_t i = 0; i < inspection->code_count; i++)
        if (inspection->codes[i].line == line && !strcmp(inspection->codes[i].name, name) && !strcmp(inspection->codes[i].file, file))
            return true;
    return false;
}

static void add_code(struct inspection *inspection, const char *name, const char *file, const struct perturb_point *point)
{
    struct inspected_code *more, code = { .line = point->line, .gives_error = point->gives_error != 0 };

    if (inspection->code_count == CODES_MAX || is_known(inspection, name, file, point->line))
        return;
    more = realloc(inspection->codes, (inspection->code_count + 1) * sizeof(*more));
    inspection->codes = more ? more : inspection->codes;
    code.name = strdup(name);
    code.file = strdup(file);
    if (!more || !code.name || !code.file) {
        inspection->shortage = -ENOMEM;
        free(code.name);
        free(code.file);
        return;
    }
    inspection->codes[inspection->code_count++] = code;
}

void inspect_codes(struct inspection *inspection, const struct elf_file *elf)
{
    const size_t head = offsetof(struct perturb_point, text);
    size_t size = 0, used = 0;
    const char *bytes = elf_section(elf, "perturb_points", &size);

    while (bytes && size - used > head) {
        struct perturb_point point;
        const char *text = bytes + used + head;
        size_t room, name;

        memcpy(&point, bytes + used, head);
        if (point.size <= head || point.size > size - used || point.size % 8)
            return;
        room = point.size - head;
        name = strnlen(text, room) + 1;
        if (name >= room || strnlen(text + name, room - name) == room - name)
            return;
        inspection->points |= POINT_BIT(code);
        add_code(inspection, text, text + name, &point);
        used += point.size;
    }
}

void inspect_codes_free(struct inspection *inspection)
{
    for (size_t i = 0; i < inspection->code_count; i++) {
        free(inspection->codes[i].name);
        free(inspection->codes[i].file);
    }
    free(inspection->codes);
}
