/* The exported function that an address lies in, by its module's dynamic symbol table: what dladdr tells, without its lock.
 *
 * 1. The table is walked once an address; what was found is kept in a table of this process, claimed by compare-and-swap, for good.
 * 2. A kept answer counts only while the same module lies at the same place.
 * 3. A static function is in no such table: its callers are unknown, and match nothing. */
#include "shims/preload/shim.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

enum { KEPT_MAX = 4096, PROBES_MAX = 16, SYMBOLS_MAX = 1 << 20 };

#define BUSY UINT64_C(1) /* no address of code */

struct kept {
    uint64_t address; /* 0: free */
    const struct link_map *module;
    const ElfW(Dyn) *dynamic;
    uint32_t name; /* offset in its string table; 0: no such function */
};

struct tables {
    const ElfW(Sym) *symbols;
    const char *strings;
    uint32_t count;
};

static struct kept kept[KEPT_MAX];

extern int _dl_find_object(void *address, struct dl_find_object *ret_object) __attribute__((weak));

/* How many symbols a GNU hash table knows: behind the last of its longest chain. */
static uint32_t count_hashed(const uint32_t *hash)
{
    uint32_t bucket_count = hash[0], first = hash[1], last = 0;
    const uint32_t *buckets = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chains = buckets + bucket_count;

    for (uint32_t i = 0; i < bucket_count; i++)
        last = buckets[i] > last ? buckets[i] : last;
    if (last < first)
        return first;
    while (last - first < SYMBOLS_MAX && !(chains[last - first] & 1))
        last++;
    return last + 1;
}

static bool read_tables(const struct link_map *module, struct tables *ret_tables)
{
    struct tables tables = { .count = 0 };

    for (const ElfW(Dyn) *entry = module->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
        uintptr_t place = entry->d_un.d_ptr;

        if (place < module->l_addr) /* some loaders leave them as they are in the file */
            place += module->l_addr;
        if (entry->d_tag == DT_SYMTAB)
            tables.symbols = (const void *)place;
        else if (entry->d_tag == DT_STRTAB)
            tables.strings = (const void *)place;
        else if (entry->d_tag == DT_HASH)
            tables.count = ((const uint32_t *)place)[1];
        else if (entry->d_tag == DT_GNU_HASH && !tables.count)
            tables.count = count_hashed((const uint32_t *)place);
    }
    *ret_tables = tables;
    return tables.symbols && tables.strings && tables.count && tables.count <= SYMBOLS_MAX;
}

static uint32_t find_name(const struct link_map *module, const struct tables *tables, uintptr_t address)
{
    uintptr_t offset = address - module->l_addr;

    for (uint32_t i = 1; i < tables->count; i++) {
        const ElfW(Sym) *symbol = &tables->symbols[i];

        if ((symbol->st_info & 15) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && offset >= symbol->st_value &&
            offset - symbol->st_value < symbol->st_size)
            return symbol->st_name;
    }
    return 0;
}

/* Once kept an entry never changes. */
static void keep(struct kept *entry, uintptr_t address, const struct link_map *module, uint32_t name)
{
    uint64_t none = 0;

    if (!__atomic_compare_exchange_n(&entry->address, &none, BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    entry->module = module;
    entry->dynamic = module->l_ld;
    entry->name = name;
    __atomic_store_n(&entry->address, address, __ATOMIC_RELEASE);
}

static uint32_t name_of(const struct link_map *module, const struct tables *tables, uintptr_t address)
{
    struct kept *place = NULL;
    uint32_t name;

    for (size_t probe = 0; probe < PROBES_MAX && !place; probe++) {
        struct kept *entry = &kept[(address * UINT64_C(0x9e3779b97f4a7c15) >> 32) % KEPT_MAX ^ probe];
        uint64_t found = __atomic_load_n(&entry->address, __ATOMIC_ACQUIRE);

        if (found == address && entry->module == module && entry->dynamic == module->l_ld)
            return entry->name;
        if (!found)
            place = entry;
    }
    name = find_name(module, tables, address);
    if (place)
        keep(place, address, module, name);
    return name;
}

const char *shim_symbol_of(const void *address, char *room, size_t size)
{
    static const char prefix[] = "symbol:";
    uintptr_t inside = (uintptr_t)address - 1; /* the call may be its function's last instruction */
    struct dl_find_object object;
    struct tables tables;
    size_t length;
    uint32_t name;

    if (!_dl_find_object || _dl_find_object((void *)inside, &object) < 0 || !object.dlfo_link_map ||
        !read_tables(object.dlfo_link_map, &tables))
        return NULL;
    name = name_of(object.dlfo_link_map, &tables, inside);
    if (!name)
        return NULL;
    length = strnlen(tables.strings + name, size - sizeof(prefix));
    memcpy(room, prefix, sizeof(prefix) - 1);
    memcpy(room + sizeof(prefix) - 1, tables.strings + name, length);
    room[sizeof(prefix) - 1 + length] = '\0';
    return room;
}
