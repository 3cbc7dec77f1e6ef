/* The fault points of programs' own code that the shims have entered in a page. Control plane. */
#include "shims/host/page_priv.h"

#include <string.h>

size_t page_codes(const struct page *page, struct page_code *list, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < CONTROL_CODE_MAX && count < max; i++) {
        const struct control_code *code = &page->counters->codes[i];
        uint32_t line = __atomic_load_n(&code->line, __ATOMIC_ACQUIRE);

        if (!line)
            continue;
        list[count] = (struct page_code){ .line = line, .gives_error = code->gives_error != 0,
                                          .hits = __atomic_load_n(&code->hits, __ATOMIC_RELAXED) };
        memcpy(list[count].name, code->name, sizeof(code->name) - 1);
        memcpy(list[count].file, code->file, sizeof(code->file) - 1);
        count++;
    }
    return count;
}
