/* The kernel's own clock, read as the C library reads it, in user space: a system call would cost several times as much on the
 * armed path. The function is taken from the image that the kernel maps into every process (vdso(7)), by walking its symbol table:
 * dlsym would find the clock_gettime of whoever else fakes clocks, or our own. Where there is no such image (valgrind hides it,
 * vdso=0 on the kernel's command line) or it is laid out in an unknown way, it is the system call. */
#include "shims/preload/shim.h"

#include "scenarios/base/clock.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__aarch64__)
static const char clock_name[] = "__kernel_clock_gettime";
#else
static const char clock_name[] = "__vdso_clock_gettime";
#endif

enum { SYMBOLS_MAX = 256, SEGMENTS_MAX = 64, ENTRIES_MAX = 128 };

typedef int clock_function(clockid_t, struct timespec *);

static clock_function *kernel_clock;

struct tables {
    const char *base; /* what addresses in the image count from */
    const ElfW(Sym) *symbols;
    const char *names;
    size_t names_size;
    const uint32_t *gnu_hash;
    const uint32_t *hash;
};

static bool find_tables(const char *image, struct tables *ret_tables)
{
    const ElfW(Ehdr) *head = (const void *)image;
    const ElfW(Phdr) *segment = (const void *)(image + head->e_phoff);
    const ElfW(Dyn) *entry = NULL;
    struct tables tables = { .base = NULL };

    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    for (size_t i = 0; i < head->e_phnum && i < SEGMENTS_MAX; i++) {
        if (segment[i].p_type == PT_LOAD && !tables.base)
            tables.base = image + segment[i].p_offset - segment[i].p_vaddr;
        if (segment[i].p_type == PT_DYNAMIC)
            entry = (const void *)(image + segment[i].p_offset);
    }
    for (size_t i = 0; entry && tables.base && i < ENTRIES_MAX && entry->d_tag != DT_NULL; i++, entry++) {
        const void *place = tables.base + entry->d_un.d_ptr;

        if (entry->d_tag == DT_SYMTAB)
            tables.symbols = place;
        else if (entry->d_tag == DT_STRTAB)
            tables.names = place;
        else if (entry->d_tag == DT_STRSZ)
            tables.names_size = entry->d_un.d_val;
        else if (entry->d_tag == DT_GNU_HASH)
            tables.gnu_hash = place;
        else if (entry->d_tag == DT_HASH)
            tables.hash = place;
    }
    *ret_tables = tables;
    return tables.symbols && tables.names && (tables.hash || tables.gnu_hash);
}

/* How many symbols there are is said by either hash table: by the old one outright, by the new one as the end of its last chain. */
static size_t count_symbols(const struct tables *tables)
{
    const uint32_t *head = tables->gnu_hash, *buckets, *chains;
    uint32_t last = 0;

    if (tables->hash)
        return tables->hash[1];
    buckets = head + 4 + head[2] * (sizeof(ElfW(Addr)) / sizeof(*buckets));
    chains = buckets + head[0];
    for (uint32_t i = 0; i < head[0] && i < SYMBOLS_MAX; i++)
        last = buckets[i] > last ? buckets[i] : last;
    while (last >= head[1] && last < SYMBOLS_MAX && !(chains[last - head[1]] & 1))
        last++;
    return (size_t)last + 1;
}

void shim_clock_find(void)
{
    const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
    struct tables tables;
    size_t count;

    if (!image || !find_tables(image, &tables))
        return;
    count = count_symbols(&tables);
    for (size_t i = 0; i < count && i < SYMBOLS_MAX; i++) {
        const ElfW(Sym) *symbol = &tables.symbols[i];
        const void *place = tables.base + symbol->st_value;

        if (symbol->st_shndx == SHN_UNDEF || symbol->st_name + sizeof(clock_name) > tables.names_size ||
            memcmp(tables.names + symbol->st_name, clock_name, sizeof(clock_name)) != 0)
            continue;
        memcpy(&kernel_clock, &place, sizeof(kernel_clock));
        return;
    }
}

int shim_true_clock(clockid_t clock, struct timespec *ret_time)
{
    return kernel_clock && !kernel_clock(clock, ret_time) ? 0 : (int)syscall(SYS_clock_gettime, clock, ret_time);
}

uint64_t shim_now_ns(void)
{
    struct timespec now;

    (void)shim_true_clock(CLOCK_MONOTONIC, &now);
    return timespec_ns(now);
}
