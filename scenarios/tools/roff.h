/* Text as a manual page, in the macros of man(7) that both groff and mandoc know. Nothing here depends on the day of the build. */
#ifndef PERTURB_TOOLS_ROFF_H
#define PERTURB_TOOLS_ROFF_H

#include <stdio.h>

/* .TH and the section NAME. `name` is "perturb-faults", `section` a digit, `summary` one line without a full stop. */
void roff_begin(FILE *out, const char *name, int section, const char *summary);

void roff_section(FILE *out, const char *title);    /* .SH */
void roff_subsection(FILE *out, const char *title); /* .SS */

/* A paragraph of flowing text. What stands between `backticks` is bold. A line never begins with a request, whatever the text. */
void roff_paragraph(FILE *out, const char *text);
void roff_text(FILE *out, const char *text); /* the same, without a new paragraph before it */

/* An entry of a list: the term in bold, then its text, on the line below. roff_entry_end() after the last. */
void roff_entry(FILE *out, const char *term, const char *text);

/* Lines as they are, indented: roff_example_begin, roff_line..., roff_example_end. */
void roff_example_begin(FILE *out);
void roff_line(FILE *out, const char *text, int length);
void roff_example_end(FILE *out);

/* "SEE ALSO" from a text such as "perturb(1), perturb-faults(7)". */
void roff_see_also(FILE *out, const char *pages);

#endif
