/* Units as one table of suffixes; parsing and printing both walk it. Pure. */
#include "scenarios/base/units.h"

#include "scenarios/base/bits.h"
#include "scenarios/base/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* value = number * numerator / denominator. `print` marks the suffixes that printing uses, one a factor. */
struct suffix {
    enum unit unit;
    const char *name;
    int64_t numerator;
    int64_t denominator;
    bool print;
};

static const struct suffix suffixes[] = {
    { UNIT_DURATION, "ns", 1, 1, true },
    { UNIT_DURATION, "us", 1000, 1, true },
    { UNIT_DURATION, "ms", 1000000, 1, true },
    { UNIT_DURATION, "s", 1000000000, 1, true },
    { UNIT_DURATION, "m", 60000000000, 1, true },
    { UNIT_DURATION, "h", 3600000000000, 1, true },
    { UNIT_DURATION, "d", 86400000000000, 1, false },
    { UNIT_SIZE, "B", 1, 1, true },
    { UNIT_SIZE, "", 1, 1, false },
    { UNIT_SIZE, "kB", 1000, 1, true },
    { UNIT_SIZE, "KB", 1000, 1, false },
    { UNIT_SIZE, "KiB", 1024, 1, true },
    { UNIT_SIZE, "MB", 1000000, 1, true },
    { UNIT_SIZE, "MiB", 1048576, 1, true },
    { UNIT_SIZE, "GB", 1000000000, 1, true },
    { UNIT_SIZE, "GiB", 1073741824, 1, true },
    { UNIT_RATE, "B/s", 1, 1, true },
    { UNIT_RATE, "kB/s", 1000, 1, true },
    { UNIT_RATE, "KB/s", 1000, 1, false },
    { UNIT_RATE, "KiB/s", 1024, 1, true },
    { UNIT_RATE, "MB/s", 1000000, 1, true },
    { UNIT_RATE, "MiB/s", 1048576, 1, true },
    { UNIT_RATE, "GB/s", 1000000000, 1, true },
    { UNIT_RATE, "GiB/s", 1073741824, 1, true },
    { UNIT_RATE, "bit/s", 1, 8, false },
    { UNIT_RATE, "kbit/s", 125, 1, false },
    { UNIT_RATE, "Mbit/s", 125000, 1, false },
    { UNIT_RATE, "Gbit/s", 125000000, 1, false },
    { UNIT_FREQUENCY, "/s", 1000, 1, true },
    { UNIT_FREQUENCY, "", 1000, 1, false },
    { UNIT_FREQUENCY, "/m", 1000, 60, false },
    { UNIT_SHARE, "%", 10000, 1, true },
    { UNIT_SHARE, "", 1000000, 1, false },
    { UNIT_RATIO, "x", 1000, 1, true },
    { UNIT_RATIO, "", 1000, 1, false },
    { UNIT_COUNT, "", 1, 1, true },
    { UNIT_COUNT, "k", 1000, 1, false },
    { UNIT_COUNT, "M", 1000000, 1, false },
};

const char *unit_example(enum unit unit)
{
    switch (unit) {
    case UNIT_DURATION:
        return "a duration such as 250ms";
    case UNIT_SIZE:
        return "a size such as 64KiB";
    case UNIT_RATE:
        return "a rate such as 1MB/s";
    case UNIT_FREQUENCY:
        return "a frequency such as 200/s";
    case UNIT_SHARE:
        return "a share such as 5% or 0.05";
    case UNIT_RATIO:
        return "a ratio such as 1.5";
    case UNIT_COUNT:
        return "a whole number such as 100";
    case UNIT_SHIFT:
        return "a shift of time such as -90s or 1h";
    case UNIT_IPV4:
        return "an IPv4 address such as 192.0.2.1";
    case UNIT_BOOL:
        return "true or false";
    case UNIT_ENUM:
        return "one of its words";
    case UNIT_ERRNO:
        return "an errno name such as ENOSPC";
    case UNIT_TEXT:
        return "a text";
    }
    return "a value";
}

/* A decimal number as mantissa / 10^decimals. 0; -EINVAL when there is none or it has too many places; -ERANGE. */
static int scan_decimal(const char *text, const char **ret_end, int64_t *ret_mantissa, int *ret_decimals)
{
    int64_t mantissa = 0;
    int digits = 0, decimals = 0;
    bool point = false;

    for (; isdigit((unsigned char)*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (__builtin_mul_overflow(mantissa, 10, &mantissa) || __builtin_add_overflow(mantissa, *text - '0', &mantissa))
            return -ERANGE;
        decimals += point;
        digits++;
    }
    if (!digits || decimals > 15)
        return -EINVAL;
    *ret_end = text;
    *ret_mantissa = mantissa;
    *ret_decimals = decimals;
    return 0;
}

static const struct suffix *find_suffix(enum unit unit, const char *text, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (suffixes[i].unit == unit && strlen(suffixes[i].name) == length && !strncmp(suffixes[i].name, text, length))
            return &suffixes[i];
    return NULL;
}

static int scale(int64_t mantissa, int decimals, const struct suffix *suffix, int64_t *ret_value)
{
    int128 value = (int128)mantissa * suffix->numerator;
    int128 divisor = suffix->denominator;

    while (decimals--)
        divisor *= 10;
    value = (value + divisor / 2) / divisor;
    if (value > INT64_MAX)
        return -ERANGE;
    *ret_value = (int64_t)value;
    return 0;
}

static int parse_bool(const char *text, int64_t *ret_value)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp(text, words[i])) {
            *ret_value = (int64_t)(i % 2);
            return 0;
        }
    return -EINVAL;
}

static int parse_ipv4(const char *text, int64_t *ret_value)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1)
        return -EINVAL;
    *ret_value = ntohl(address.s_addr);
    return 0;
}

static int parse_sum(enum unit unit, const char *at, bool negative, int64_t *ret_value)
{
    int64_t total = 0;

    do {
        const struct suffix *suffix;
        int64_t mantissa, part;
        size_t length = 0;
        int decimals, result;

        result = scan_decimal(at, &at, &mantissa, &decimals);
        if (result < 0)
            return result;
        while (at[length] && !isdigit((unsigned char)at[length]) && at[length] != '.')
            length++;
        suffix = find_suffix(unit, at, length);
        if (!suffix || (unit == UNIT_COUNT && decimals && suffix->numerator == 1))
            return -EINVAL;
        result = scale(mantissa, decimals, suffix, &part);
        if (result < 0 || __builtin_add_overflow(total, part, &total))
            return -ERANGE;
        at += length;
    } while (*at && unit == UNIT_DURATION);
    if (*at)
        return -EINVAL;
    *ret_value = negative ? -total : total;
    return 0;
}

int unit_parse(enum unit unit, const char *text, int64_t *ret_value)
{
    bool negative = (unit == UNIT_COUNT || unit == UNIT_SHIFT) && *text == '-';

    if (unit == UNIT_BOOL)
        return parse_bool(text, ret_value);
    if (unit == UNIT_IPV4)
        return parse_ipv4(text, ret_value);
    if (unit == UNIT_SHIFT)
        unit = UNIT_DURATION;
    if (unit == UNIT_DURATION && !strcmp(text, "0")) {
        *ret_value = 0;
        return 0;
    }
    return parse_sum(unit, text + negative, negative, ret_value);
}

/* value / factor as a decimal with at most six places; false when that is not exact. */
static bool print_exact(uint64_t value, const struct suffix *suffix, char *text, size_t size)
{
    uint64_t factor = (uint64_t)suffix->numerator;
    uint64_t whole = value / factor, rest = value % factor;
    int places = 0;
    uint128 fraction = rest;

    while (fraction % factor && places < 6) {
        fraction *= 10;
        places++;
    }
    if (fraction % factor)
        return false;
    if (places)
        snprintf(text, size, "%llu.%0*llu%s", (unsigned long long)whole, places, (unsigned long long)(fraction / factor),
                 suffix->name);
    else
        snprintf(text, size, "%llu%s", (unsigned long long)whole, suffix->name);
    return true;
}

/* Shorter is better, and 100ms is better than 0.1s. */
static size_t awkwardness(const char *text)
{
    return strlen(text) + (strncmp(text, "0.", 2) ? 0 : 32);
}

char *unit_print(enum unit unit, int64_t value, char *text, size_t size)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char best[40] = "", candidate[40];

    if (unit == UNIT_BOOL) {
        snprintf(text, size, "%s", value ? "true" : "false");
        return text;
    }
    if (unit == UNIT_IPV4) {
        snprintf(text, size, "%u.%u.%u.%u", (unsigned)(magnitude >> 24 & 255), (unsigned)(magnitude >> 16 & 255),
                 (unsigned)(magnitude >> 8 & 255), (unsigned)(magnitude & 255));
        return text;
    }
    if (unit == UNIT_SHIFT)
        unit = UNIT_DURATION;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (suffixes[i].unit != unit || !suffixes[i].print || !print_exact(magnitude, &suffixes[i], candidate, sizeof(candidate)))
            continue;
        if (!best[0] || awkwardness(candidate) < awkwardness(best))
            memcpy(best, candidate, sizeof(best));
    }
    if (!best[0])
        snprintf(best, sizeof(best), "%llu", (unsigned long long)magnitude);
    snprintf(text, size, "%s%s", value < 0 ? "-" : "", best);
    return text;
}
