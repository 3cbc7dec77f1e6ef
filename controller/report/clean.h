/* Hostile text made fit to be shown. Input is bytes that ought to be UTF-8 and may be anything.
 *  1. Malformed UTF-8, controls (C0, DEL, C1), bidirectional formatting characters, other invisible formatting characters,
 *     surrogates and noncharacters come out as the replacement. Tab and line ends come out as one space.
 *  2. Past `length_max` characters the text is cut and ends in an ellipsis.
 * Source of the bidirectional list: Unicode Standard Annex 9, table 1 (and the attack: CVE-2021-42574). */
#ifndef PERTURB_REPORT_CLEAN_H
#define PERTURB_REPORT_CLEAN_H

#include "scenarios/base/buf.h"

#include <stddef.h>
#include <stdint.h>

enum { CLEAN_REPLACEMENT = 0xfffd };

/* The next character to show, CLEAN_REPLACEMENT for what must not be shown; 0 at the end. Moves `*text` on. */
uint32_t clean_next(const char **text);

/* For a terminal: the replacement is '?', the ellipsis "...". */
void clean_plain(struct buf *out, const char *text, size_t length_max);

/* For HTML element content and double-quoted attribute values. */
void clean_html(struct buf *out, const char *text, size_t length_max);

/* Columns a terminal needs for cleaned text; East Asian wide characters count two. */
size_t clean_width(const char *text);

#endif
