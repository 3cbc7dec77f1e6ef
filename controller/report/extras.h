/* Sentences on what else a run found: knees and water levels, shed load, what the promise cost, controls, backlogs. */
#ifndef PERTURB_REPORT_EXTRAS_H
#define PERTURB_REPORT_EXTRAS_H

#include <cjson/cJSON.h>

/* `text` is hostile: escape it. The label stands once, "" with the lines that follow. */
typedef void extras_line(void *context, const char *label, const char *text);

void extras_tell(const cJSON *result, extras_line *line, void *context);

#endif
