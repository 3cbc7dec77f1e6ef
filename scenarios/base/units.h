/* "250ms", "1.5MiB/s", "0.1%" <-> integers. Printing is the inverse of parsing (tests/unit/test_units.c).
 *
 *   UNIT_DURATION  ns        ns us ms s m h d (compound "1m30s" too); a bare number is refused, "0" excepted
 *   UNIT_SIZE      bytes     B kB KB KiB MB MiB GB GiB; a bare number is bytes. kB and KB are 1000 bytes
 *   UNIT_RATE      bytes/s   a size followed by "/s"; "bit", "kbit", "Mbit", "Gbit" followed by "/s" (8 bits a byte)
 *   UNIT_FREQUENCY millihertz  "200/s", "30/m", a bare number is per second
 *   UNIT_SHARE     ppm       "5%", "0.1%", or a fraction "0.05" (0..1); 100 % = 1,000,000
 *   UNIT_RATIO     thousandths  "1.5" or "1.5x"
 *   UNIT_SHIFT     ns        a duration, or one with '-' before it
 *   UNIT_IPV4      host order  "192.0.2.1"
 *   UNIT_COUNT     integer   a plain integer, k and M allowed ("20k")
 *   UNIT_BOOL      0 or 1    true false yes no on off
 *   UNIT_ENUM, UNIT_ERRNO, UNIT_TEXT are resolved by the vocabulary, which knows the words. */
#ifndef PERTURB_BASE_UNITS_H
#define PERTURB_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum unit {
    UNIT_DURATION,
    UNIT_SIZE,
    UNIT_RATE,
    UNIT_FREQUENCY,
    UNIT_SHARE,
    UNIT_RATIO,
    UNIT_COUNT,
    UNIT_SHIFT,
    UNIT_IPV4,
    UNIT_BOOL,
    UNIT_ENUM,
    UNIT_ERRNO,
    UNIT_TEXT,
};

/* What a value of the unit looks like, for messages: "a duration such as 250ms". */
const char *unit_example(enum unit unit);

/* Parses all of `text`. 0, -EINVAL when it is no such value, -ERANGE when it overflows int64. `unit` is a numeric one. */
int unit_parse(enum unit unit, const char *text, int64_t *ret_value);

/* Prints the shortest exact form, 100ms rather than 0.1s; returns `text`. `size` of 32 always suffices. */
char *unit_print(enum unit unit, int64_t value, char *text, size_t size);

#endif
