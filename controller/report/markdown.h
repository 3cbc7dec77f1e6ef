/* Hostile text in Markdown. */
#ifndef PERTURB_REPORT_MARKDOWN_H
#define PERTURB_REPORT_MARKDOWN_H

#include "scenarios/base/buf.h"

#include <stddef.h>

/* Appends cleaned text none of which is markup, a link or a mention. Every ASCII punctuation character may be escaped (CommonMark 0.30,
 * 2.4); '<' and '&' become entities, for renderers that let HTML through. */
void markdown_escape(struct buf *out, const char *text, size_t chars_max);

#endif
