/* Reading ELF64 with every offset checked: the file may be anything. Control plane. */
#include "shims/host/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "the shim's machines are x86-64 and arm64"
#endif

/* `count` items of `size` at `offset`, or NULL when they do not lie in the file. */
static const void *items_at(const struct elf_file *elf, uint64_t offset, uint64_t count, uint64_t size)
{
    if (offset > elf->size || (count && size > (elf->size - offset) / count) || offset % 4)
        return NULL;
    return elf->data + offset;
}

static const Elf64_Ehdr *header_of(const struct elf_file *elf)
{
    return (const void *)elf->data;
}

/* A segment may hold several notes, each padded to four bytes. */
static void read_notes(struct elf_file *elf, const Elf64_Phdr *segment)
{
    uint64_t offset = segment->p_offset, end = segment->p_offset + segment->p_filesz;
    const Elf64_Nhdr *note;

    while (end >= segment->p_offset && offset + sizeof(*note) + 4 <= end && (note = items_at(elf, offset, 1, sizeof(*note) + 4))) {
        if (note->n_namesz == 4 && !memcmp(note + 1, "Go\0", 4))
            elf->is_go = true;
        offset += sizeof(*note) + (((uint64_t)note->n_namesz + 3) & ~UINT64_C(3)) + (((uint64_t)note->n_descsz + 3) & ~UINT64_C(3));
    }
}

static void read_segments(struct elf_file *elf)
{
    const Elf64_Ehdr *header = header_of(elf);
    const Elf64_Phdr *segments = items_at(elf, header->e_phoff, header->e_phnum, sizeof(*segments));

    for (size_t i = 0; segments && i < header->e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];

        if (segment->p_type == PT_DYNAMIC && header->e_type == ET_DYN)
            elf->is_dynamic = true; /* a library, or a position-independent program: see PT_INTERP below */
        if (segment->p_type == PT_NOTE)
            read_notes(elf, segment);
        if (segment->p_type == PT_INTERP && segment->p_filesz && segment->p_filesz <= sizeof(elf->loader) &&
            segment->p_offset <= elf->size && segment->p_filesz <= elf->size - segment->p_offset) {
            memcpy(elf->loader, elf->data + segment->p_offset, segment->p_filesz);
            elf->loader[sizeof(elf->loader) - 1] = '\0';
            elf->is_dynamic = true;
        }
    }
}

int elf_open(const char *path, struct elf_file *ret_elf)
{
    struct elf_file elf = { .data = NULL };
    const Elf64_Ehdr *header;
    struct stat status;
    int result, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    void *map;

    if (fd < 0)
        return -errno;
    result = fstat(fd, &status) < 0 ? -errno : 0;
    if (!result && (!S_ISREG(status.st_mode) || (size_t)status.st_size < sizeof(*header)))
        result = -ENOEXEC;
    if (result < 0) {
        close(fd);
        return result;
    }
    map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return -errno;
    elf.data = map;
    elf.size = (size_t)status.st_size;
    header = header_of(&elf);
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        elf_close(&elf);
        return -ENOEXEC;
    }
    elf.is_native = header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
                    header->e_machine == NATIVE_MACHINE;
    if (elf.is_native)
        read_segments(&elf);
    *ret_elf = elf;
    return 0;
}

void elf_close(struct elf_file *elf)
{
    if (elf && elf->data)
        munmap((void *)(uintptr_t)elf->data, elf->size);
    if (elf)
        elf->data = NULL;
}

static const Elf64_Shdr *sections_of(const struct elf_file *elf, size_t *ret_count)
{
    const Elf64_Ehdr *header = header_of(elf);

    *ret_count = elf->is_native ? header->e_shnum : 0;
    return *ret_count ? items_at(elf, header->e_shoff, header->e_shnum, sizeof(Elf64_Shdr)) : NULL;
}

/* The symbols of a section that lists dynamic ones, with the names they refer to; NULL when it does not, or is broken. */
static const Elf64_Sym *dynamic_symbols(const struct elf_file *elf, const Elf64_Shdr *sections, size_t count, size_t index,
                                        const Elf64_Shdr **ret_strings)
{
    const Elf64_Shdr *section = &sections[index];
    const Elf64_Shdr *strings = section->sh_link < count ? &sections[section->sh_link] : NULL;

    if (section->sh_type != SHT_DYNSYM || !strings || strings->sh_offset > elf->size || strings->sh_size > elf->size - strings->sh_offset)
        return NULL;
    *ret_strings = strings;
    return items_at(elf, section->sh_offset, section->sh_size / sizeof(Elf64_Sym), sizeof(Elf64_Sym));
}

static const char *symbol_name(const struct elf_file *elf, const Elf64_Shdr *strings, const Elf64_Sym *symbol)
{
    const char *names = (const char *)elf->data + strings->sh_offset;

    return symbol->st_name < strings->sh_size && memchr(names + symbol->st_name, '\0', strings->sh_size - symbol->st_name)
               ? names + symbol->st_name
               : NULL;
}

size_t elf_symbols(const struct elf_file *elf, void (*each)(const char *name, bool defined, void *context), void *context)
{
    size_t section_count, told = 0;
    const Elf64_Shdr *sections = sections_of(elf, &section_count), *strings;

    for (size_t i = 0; sections && i < section_count; i++) {
        const Elf64_Sym *symbols = dynamic_symbols(elf, sections, section_count, i, &strings);

        for (uint64_t k = 1; symbols && k < sections[i].sh_size / sizeof(*symbols); k++) {
            const char *name = symbol_name(elf, strings, &symbols[k]);

            if (!name)
                continue;
            each(name, symbols[k].st_shndx != SHN_UNDEF, context);
            told++;
        }
    }
    return told;
}

uint64_t elf_function(const struct elf_file *elf, const char *wanted)
{
    size_t section_count;
    const Elf64_Shdr *sections = sections_of(elf, &section_count), *strings;

    for (size_t i = 0; sections && i < section_count; i++) {
        const Elf64_Sym *symbols = dynamic_symbols(elf, sections, section_count, i, &strings);

        for (uint64_t k = 1; symbols && k < sections[i].sh_size / sizeof(*symbols); k++) {
            const char *name = symbols[k].st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbols[k].st_info) == STT_FUNC
                                   ? symbol_name(elf, strings, &symbols[k])
                                   : NULL;

            if (name && !strcmp(name, wanted))
                return symbols[k].st_value;
        }
    }
    return 0;
}

const void *elf_section(const struct elf_file *elf, const char *wanted, size_t *ret_size)
{
    size_t count, index = header_of(elf)->e_shstrndx, length = strlen(wanted) + 1;
    const Elf64_Shdr *sections = sections_of(elf, &count), *names = sections && index < count ? &sections[index] : NULL;

    if (!names || names->sh_offset > elf->size || names->sh_size > elf->size - names->sh_offset)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const Elf64_Shdr *section = &sections[i];

        if (section->sh_type != SHT_PROGBITS || section->sh_name > names->sh_size || length > names->sh_size - section->sh_name ||
            memcmp(elf->data + names->sh_offset + section->sh_name, wanted, length) != 0 || section->sh_offset > elf->size ||
            section->sh_size > elf->size - section->sh_offset)
            continue;
        *ret_size = section->sh_size;
        return elf->data + section->sh_offset;
    }
    return NULL;
}

uint64_t elf_code(const struct elf_file *elf, const void *bytes, size_t size)
{
    const Elf64_Ehdr *header = header_of(elf);
    const Elf64_Phdr *segments = elf->is_native ? items_at(elf, header->e_phoff, header->e_phnum, sizeof(*segments)) : NULL;

    for (size_t i = 0; segments && i < header->e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        const unsigned char *found;

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || segment->p_offset > elf->size ||
            segment->p_filesz > elf->size - segment->p_offset)
            continue;
        found = memmem(elf->data + segment->p_offset, segment->p_filesz, bytes, size);
        if (found)
            return (uint64_t)(found - elf->data) - segment->p_offset + segment->p_vaddr;
    }
    return 0;
}
