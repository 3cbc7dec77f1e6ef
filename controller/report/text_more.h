/* Guards, captures, locks and earlier runs as lines for a terminal. */
#ifndef PERTURB_REPORT_TEXT_MORE_H
#define PERTURB_REPORT_TEXT_MORE_H

#include <cjson/cJSON.h>

/* `text` is hostile: escape it. The label stands once, "" with the lines that follow. */
typedef void text_line(void *context, const char *label, const char *text);

void text_more(const cJSON *result, text_line *line, void *context);

#endif
