/* Late attach: whoever calls a wrapped function does so through a slot of its object (a JUMP_SLOT or GLOB_DAT relocation). Each
 * slot that holds the real function is pointed at our wrapper, and at detach back at what it held, to the byte.
 *
 * 1. A slot is changed only if it holds the function that our wrapper calls through to, or the program's own lazy stub of a
 *    symbol and version that would be bound to it. What somebody else has bound elsewhere stays.
 * 2. One store of a word: a call that is made at the same time finds either.
 * 3. Not reached: function pointers taken before, calls inside an object that pass no slot, other link-map namespaces.
 * 4. Objects that come later are patched at the program's next dlsym() after a dlopen(): both gates jump on to the real function,
 *    so that it sees its true caller, by which it resolves RTLD_NEXT and the run path. Their constructors have run by then.
 * 5. Nothing here runs in a signal handler or in an allocator: attach comes at a place that `perturb attach` has chosen, the rest
 *    from inside dlsym(). So it may take the loader's lock. */
#include "shims/preload/shim.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma weak dlvsym /* musl has none */

enum { SLOTS_MAX = 1 << 14, SLOT_PROBES = 64 };

#if defined(__x86_64__)
enum { TYPE_SLOT = R_X86_64_JUMP_SLOT, TYPE_DATA = R_X86_64_GLOB_DAT };
#else
enum { TYPE_SLOT = 1026, TYPE_DATA = 1025 }; /* R_AARCH64_JUMP_SLOT, R_AARCH64_GLOB_DAT */
#endif

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

/* What is needed of an object's dynamic section. */
struct object {
    uintptr_t base, first, last; /* addresses: load bias, extent */
    uintptr_t sealed, sealed_end; /* read-only after relocation, whole pages */
    const Elf64_Sym *symbols;
    const char *names;
    const uint32_t *hash; /* GNU */
    const Elf64_Versym *versions;
    const char *needed; /* Elf64_Verneed chain */
    const Elf64_Rela *list[2];
    size_t count[2];
};

struct slot {
    uintptr_t place; /* 0: never used */
    uintptr_t original;
};

static struct slot slots[SLOTS_MAX];
static struct object self;
static unsigned long long adds_seen;
static uint32_t busy;
static bool attached;

bool shim_is_own(const void *address)
{
    return (const char *)address >= __ehdr_start && (const char *)address < _end;
}

/* Before glibc 2.36 dlsym told the oldest of several versions, whose conditions are laid out otherwise. */
extern void *dlvsym(void *handle, const char *name, const char *version) __attribute__((weak));

void *shim_next(const char *name)
{
    void *scope = attached ? RTLD_DEFAULT : RTLD_NEXT;
    void *found = dlvsym && !strncmp(name, "pthread_cond_", 13) && strcmp(name, "pthread_cond_clockwait") != 0 ? dlvsym(scope, name, "GLIBC_2.3.2") : NULL;

    if (!found)
        found = dlsym(scope, name);
    if (!found && dlvsym) /* what only programs of long ago still ask for (x86-64's first version) */
        found = dlvsym(scope, name, "GLIBC_2.2.5");
    return attached && shim_is_own(found) ? NULL : found;
}

/* ---- objects ---------------------------------------------------------------------------------------------------------- */

/* glibc has added the bias to the pointers of most objects' dynamic sections, but not of all. */
static uintptr_t pointer_of(const struct object *object, const Elf64_Dyn *entry)
{
    return entry->d_un.d_ptr < object->base ? object->base + entry->d_un.d_ptr : entry->d_un.d_ptr;
}

static void read_entry(struct object *object, const Elf64_Dyn *entry)
{
    const void *place = (const void *)pointer_of(object, entry);

    switch (entry->d_tag) {
    case DT_SYMTAB: object->symbols = place; break;
    case DT_STRTAB: object->names = place; break;
    case DT_GNU_HASH: object->hash = place; break;
    case DT_VERSYM: object->versions = place; break;
    case DT_VERNEED: object->needed = place; break;
    case DT_JMPREL: object->list[0] = place; break;
    case DT_PLTRELSZ: object->count[0] = entry->d_un.d_val / sizeof(Elf64_Rela); break;
    case DT_RELA: object->list[1] = place; break;
    case DT_RELASZ: object->count[1] = entry->d_un.d_val / sizeof(Elf64_Rela); break;
    default: break;
    }
}

static bool object_read(const struct dl_phdr_info *info, struct object *ret_object)
{
    struct object object = { .base = info->dlpi_addr, .first = UINTPTR_MAX };
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const Elf64_Dyn *entry = NULL;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        uintptr_t begin = object.base + segment->p_vaddr, end = begin + segment->p_memsz;

        if (segment->p_type == PT_LOAD) {
            object.first = begin < object.first ? begin : object.first;
            object.last = end > object.last ? end : object.last;
        } else if (segment->p_type == PT_GNU_RELRO) {
            object.sealed = begin / page * page;
            object.sealed_end = end / page * page;
        } else if (segment->p_type == PT_DYNAMIC) {
            entry = (const void *)begin;
        }
    }
    for (; entry && entry->d_tag != DT_NULL; entry++)
        read_entry(&object, entry);
    *ret_object = object;
    return object.symbols && object.names;
}

/* Is it the loader, or the kernel's own? Their calls are nobody's. */
static bool is_system(const struct object *object)
{
    uintptr_t loader = getauxval(AT_BASE), kernel = getauxval(AT_SYSINFO_EHDR);

    return object->base == loader || (kernel && kernel >= object->first && kernel < object->last) || object->base == kernel;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* The function of that name that this library exports; NULL when there is none. */
static uintptr_t own_function(const char *name)
{
    const uint32_t *hash = self.hash, *buckets, *chain;
    uint32_t bucket_count, first, words, value = hash_of(name);
    const uint64_t *bloom = (const void *)(hash + 4);
    uint64_t word;

    if (!hash) /* never, where the library can be attached at all */
        return 0;
    bucket_count = hash[0];
    first = hash[1];
    words = hash[2];
    buckets = (const void *)(bloom + words);
    chain = buckets + bucket_count;
    word = bloom[(value / 64) % words];
    if (!((word >> (value % 64)) & (word >> ((value >> hash[3]) % 64)) & 1))
        return 0;
    for (uint32_t i = buckets[value % bucket_count]; i >= first; i++) {
        const Elf64_Sym *symbol = &self.symbols[i];

        if ((chain[i - first] | 1) == (value | 1) && symbol->st_shndx != SHN_UNDEF && !strcmp(self.names + symbol->st_name, name))
            return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC ? self.base + symbol->st_value : 0;
        if (chain[i - first] & 1)
            break;
    }
    return 0;
}

/* ---- gates of the loader's own functions (rule 4) ---------------------------------------------------------------------- */

extern const char shim_dlopen_gate[] __attribute__((visibility("hidden")));
extern const char shim_dlsym_gate[] __attribute__((visibility("hidden")));
extern const char shim_dlvsym_gate[] __attribute__((visibility("hidden")));
extern uintptr_t shim_real_dlopen, shim_real_dlsym, shim_real_dlvsym;
extern uint32_t shim_rescan_due;
uintptr_t shim_real_dlopen, shim_real_dlsym, shim_real_dlvsym;
uint32_t shim_rescan_due;

#if defined(__x86_64__)
__asm__(".text\n"
        ".type shim_dlopen_gate, @function\n"
        "shim_dlopen_gate:\n"
        "  movl $1, shim_rescan_due(%rip)\n"
        "  jmp *shim_real_dlopen(%rip)\n"
        ".type shim_dlsym_gate, @function\n"
        "shim_dlsym_gate:\n"
        "  cmpl $0, shim_rescan_due(%rip)\n"
        "  je 1f\n"
        "  push %rdi\n  push %rsi\n  push %rdx\n"
        "  call shim_rescan\n"
        "  pop %rdx\n  pop %rsi\n  pop %rdi\n"
        "1: jmp *shim_real_dlsym(%rip)\n"
        ".type shim_dlvsym_gate, @function\n"
        "shim_dlvsym_gate:\n"
        "  cmpl $0, shim_rescan_due(%rip)\n"
        "  je 1f\n"
        "  push %rdi\n  push %rsi\n  push %rdx\n"
        "  call shim_rescan\n"
        "  pop %rdx\n  pop %rsi\n  pop %rdi\n"
        "1: jmp *shim_real_dlvsym(%rip)\n");
#define HAS_GATES 1
#else
#define HAS_GATES 0
#define shim_dlopen_gate ((const char *)0)
#define shim_dlsym_gate ((const char *)0)
#define shim_dlvsym_gate ((const char *)0)
#endif

static uintptr_t gate_of(const char *name, uintptr_t *ret_real)
{
    if (name[0] != 'd' || name[1] != 'l')
        return 0;
    if (!strcmp(name, "dlopen"))
        return *ret_real = shim_real_dlopen, (uintptr_t)shim_dlopen_gate;
    if (!strcmp(name, "dlsym"))
        return *ret_real = shim_real_dlsym, (uintptr_t)shim_dlsym_gate;
    if (!strcmp(name, "dlvsym"))
        return *ret_real = shim_real_dlvsym, (uintptr_t)shim_dlvsym_gate;
    return 0;
}

/* ---- slots ------------------------------------------------------------------------------------------------------------ */

static struct slot *slot_of(uintptr_t place, bool take)
{
    size_t start = (place >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (size_t probe = 0; probe < SLOT_PROBES; probe++) {
        struct slot *slot = &slots[(start + probe) % SLOTS_MAX];

        if (slot->place == place)
            return slot;
        if (!slot->place) {
            if (take)
                slot->place = place;
            return take ? slot : NULL;
        }
    }
    return NULL;
}

static bool write_slot(const struct object *object, uintptr_t place, uintptr_t value)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = place / page * page;
    bool sealed = place >= object->sealed && place < object->sealed_end;

    if (sealed && syscall(SYS_mprotect, first, page, PROT_READ | PROT_WRITE) < 0)
        return false;
    __atomic_store_n((uintptr_t *)place, value, __ATOMIC_RELEASE);
    if (sealed)
        (void)syscall(SYS_mprotect, first, page, PROT_READ);
    return true;
}

/* The version that an object asks for with a symbol; NULL when none. */
static const char *version_of(const struct object *object, uint32_t index)
{
    const char *place = object->versions ? object->needed : NULL;
    uint16_t wanted = place ? object->versions[index] & 0x7fff : 0;

    while (place && wanted > 1) {
        const Elf64_Verneed *need = (const void *)place;
        const char *part = place + need->vn_aux;

        for (int i = 0; i < need->vn_cnt; i++) {
            const Elf64_Vernaux *aux = (const void *)part;

            if ((aux->vna_other & 0x7fff) == wanted)
                return object->names + aux->vna_name;
            part += aux->vna_next;
        }
        place = need->vn_next ? place + need->vn_next : NULL;
    }
    return NULL;
}

/* Would this symbol of the object, not bound yet, be bound to `real`? */
static bool will_be(const struct object *object, uint32_t index, const char *name, uintptr_t real)
{
    const char *version = version_of(object, index);

    return !version || !dlvsym || (uintptr_t)dlvsym(RTLD_DEFAULT, name, version) == real;
}

static bool patch_one(const struct object *object, const Elf64_Rela *rela)
{
    uint32_t index = (uint32_t)ELF64_R_SYM(rela->r_info);
    const char *name = object->names + object->symbols[index].st_name;
    uintptr_t place = object->base + rela->r_offset, now = *(const uintptr_t *)place, real = 0;
    uintptr_t ours = gate_of(name, &real);
    struct slot *slot;
    bool unbound;

    if (!ours) {
        ours = own_function(name);
        if (!ours || !strncmp(name, "perturb_", 8))
            return false;
        real = (uintptr_t)shim_next(name);
    }
    if (!real || now == ours)
        return false;
    unbound = ELF64_R_TYPE(rela->r_info) == TYPE_SLOT && object->symbols[index].st_shndx == SHN_UNDEF && now >= object->first &&
              now < object->last;
    if (now != real && !(unbound && will_be(object, index, name, real)))
        return false;
    slot = slot_of(place, true);
    if (!slot)
        return false;
    slot->original = now;
    return write_slot(object, place, ours);
}

static bool restore_one(const struct object *object, const Elf64_Rela *rela)
{
    uintptr_t place = object->base + rela->r_offset;
    struct slot *slot = slot_of(place, false);

    return slot && slot->original && shim_is_own(*(const void *const *)place) && write_slot(object, place, slot->original);
}

struct walk {
    bool (*each)(const struct object *object, const Elf64_Rela *rela);
    int count;
    unsigned long long adds;
};

static int walk_object(struct dl_phdr_info *info, size_t size, void *context)
{
    struct walk *walk = context;
    struct object object;

    (void)size;
    walk->adds = info->dlpi_adds;
    if (!object_read(info, &object) || is_system(&object) || shim_is_own((const void *)object.first))
        return 0;
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; object.list[part] && i < object.count[part]; i++) {
            uint64_t type = ELF64_R_TYPE(object.list[part][i].r_info);

            if (type == TYPE_SLOT || type == TYPE_DATA)
                walk->count += walk->each(&object, &object.list[part][i]);
        }
    return 0;
}

static int find_self(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    return object_read(info, &self) && shim_is_own((const void *)self.first);
}

/* A lazy binding under way may write over a slot that was just changed: the second round finds it. */
int shim_patch(void)
{
    struct walk first = { .each = patch_one }, second = { .each = patch_one };

    if (!HAS_GATES || !dl_iterate_phdr(find_self, NULL) || !self.hash)
        return -1;
    attached = true;
    shim_resolve();
    shim_real_dlopen = (uintptr_t)shim_next("dlopen");
    shim_real_dlsym = (uintptr_t)shim_next("dlsym");
    shim_real_dlvsym = (uintptr_t)shim_next("dlvsym");
    (void)dl_iterate_phdr(walk_object, &first);
    (void)dl_iterate_phdr(walk_object, &second);
    adds_seen = second.adds;
    return first.count + second.count;
}

int shim_unpatch(void)
{
    struct walk walk = { .each = restore_one };

    (void)dl_iterate_phdr(walk_object, &walk);
    memset(slots, 0, sizeof(slots));
    return walk.count;
}

static int read_adds(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    *(unsigned long long *)context = info->dlpi_adds;
    return 1;
}

/* It stays due until something has come: a dlopen() may still be at work in another thread. */
void shim_rescan(void)
{
    struct walk walk = { .each = patch_one };
    unsigned long long adds = 0;

    (void)dl_iterate_phdr(read_adds, &adds);
    if (adds == adds_seen || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
        return;
    __atomic_store_n(&shim_rescan_due, 0, __ATOMIC_RELAXED);
    (void)dl_iterate_phdr(walk_object, &walk);
    shim_code_tie();
    adds_seen = walk.adds;
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}
