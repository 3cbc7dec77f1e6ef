/* Plays a fuzz target's seeds and a fixed sequence of mutations of them; with a directory, writes the seeds there instead, as the
 * beginning of libFuzzer's corpus. */
#include "tests/fuzz/fuzz.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <sys/param.h>

enum { INPUT_MAX = 4096, MUTATIONS = 20000, EDITS_MAX = 6 };

static const char *const words[] = { "\"", "\\", "{", "}", "[", "]", ",", ":", "null", "-", "9223372036854775808", "1e", "\r\n", "%00", "\xff", "\\u0000", "0" };

struct input {
    uint8_t bytes[INPUT_MAX];
    size_t size;
};

static void insert(struct input *input, size_t at, const char *bytes, size_t size)
{
    size = MIN(size, INPUT_MAX - input->size);
    memmove(input->bytes + at + size, input->bytes + at, input->size - at);
    memcpy(input->bytes + at, bytes, size);
    input->size += size;
}

static void edit(struct input *input, uint64_t draw)
{
    size_t at = input->size ? (size_t)(draw >> 8) % (input->size + 1) : 0, length = MIN((size_t)(draw >> 40) % 16, input->size - at);
    const char *word = words[(draw >> 32) % ARRAY_SIZE(words)];

    switch (draw % 5) {
    case 0:
        if (at < input->size)
            input->bytes[at] ^= (uint8_t)(1U << (draw >> 48) % 8);
        break;
    case 1:
        memmove(input->bytes + at, input->bytes + at + length, input->size - at - length);
        input->size -= length;
        break;
    case 2:
        insert(input, at, word, strlen(word));
        break;
    case 3: {
        char copied[16];

        memcpy(copied, input->bytes + at, length);
        insert(input, (size_t)(draw >> 20) % (input->size + 1), copied, length);
        break;
    }
    default:
        insert(input, at, &(char){ (char)(draw >> 56) }, 1);
    }
}

static void play(uint64_t number, size_t seed_count)
{
    const char *seed = fuzz_seeds[number % seed_count], *other = fuzz_seeds[rng_draw(1, number, 0, 0) % seed_count];
    struct input input = { .size = 0 };
    uint64_t edits = rng_draw(1, number, 1, 0) % EDITS_MAX;

    insert(&input, 0, seed, strlen(seed));
    if (rng_draw(1, number, 2, 0) % 4 == 0) {
        insert(&input, input.size, "", 1);
        insert(&input, input.size, other, strlen(other));
    }
    for (uint64_t i = 0; number >= seed_count && i <= edits; i++)
        edit(&input, rng_draw(1, number, 3, i));
    (void)LLVMFuzzerTestOneInput(input.bytes, input.size);
}

static int write_seeds(const char *directory)
{
    for (size_t i = 0; fuzz_seeds[i]; i++) {
        char path[4096];
        FILE *file;

        snprintf(path, sizeof(path), "%s/seed-%zu", directory, i);
        file = fopen(path, "w");
        if (!file)
            return 1;
        fputs(fuzz_seeds[i], file);
        if (fclose(file))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    size_t seeds = 0;

    if (argc > 1)
        return write_seeds(argv[1]);
    while (fuzz_seeds[seeds])
        seeds++;
    printf("1..1\n");
    for (uint64_t number = 0; number < seeds + MUTATIONS; number++)
        play(number, seeds);
    printf("ok 1 - %zu seeds and %d mutations\n", seeds, MUTATIONS);
    return 0;
}
