/* Text as a manual page: see roff.h. */
#include "scenarios/tools/roff.h"

#include <stdbool.h>
#include <string.h>

/* The characters that mean something to the formatter, or that a terminal would show as another sign. */
static void put_escaped(FILE *out, const char *text, size_t length)
{
    if (length && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else if (text[i] == '\'')
            fputs("\\(aq", out);
        else if (text[i] == '^')
            fputs("\\(ha", out);
        else if (text[i] == '~')
            fputs("\\(ti", out);
        else if (text[i] == '`')
            fputs("\\(ga", out);
        else if (text[i] == '\n')
            fputc(' ', out);
        else
            fputc(text[i], out);
}

/* Lines are broken at blanks near this length, so that the source stays readable. */
enum { SOURCE_LINE = 72 };

void roff_text(FILE *out, const char *text)
{
    const char *line = text;

    while (*line) {
        size_t length = strlen(line), cut = length;
        bool bold = false;

        if (length > SOURCE_LINE) {
            for (cut = SOURCE_LINE; cut > 0 && line[cut] != ' ';)
                cut--;
            cut = cut ? cut : length;
        }
        for (size_t ticks = 0, i = 0; i <= cut && cut < length; i++) /* never inside `...` */
            if (i == cut && ticks % 2)
                cut = strcspn(line + i + 1, " ") + i + 1;
            else
                ticks += line[i] == '`';
        for (size_t i = 0; i < cut;) {
            size_t run = strcspn(line + i, "`");

            run = run < cut - i ? run : cut - i;
            if (i && run && !bold && (line[i] == '.' || line[i] == '\''))
                fputc(line[i], out), i++, run--;
            put_escaped(out, line + i, run);
            i += run;
            if (i < cut && line[i] == '`') {
                fputs(bold ? "\\fR" : "\\fB", out);
                bold = !bold;
                i++;
            }
        }
        fputs(bold ? "\\fR\n" : "\n", out);
        line += cut;
        while (*line == ' ')
            line++;
    }
}

void roff_begin(FILE *out, const char *name, int section, const char *summary)
{
    fprintf(out, ".\\\" Made from the tables of the program by `make man`.\n.TH ");
    for (const char *at = name; *at; at++)
        fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, out);
    fprintf(out, " %d " PERTURB_DATE " \"perturb " PERTURB_VERSION "\" \"perturb\"\n.SH NAME\n", section);
    put_escaped(out, name, strlen(name));
    fputs(" \\- ", out);
    put_escaped(out, summary, strlen(summary));
    fputc('\n', out);
}

static void put_title(FILE *out, const char *request, const char *title)
{
    fprintf(out, ".%s \"", request);
    put_escaped(out, title, strlen(title));
    fputs("\"\n", out);
}

void roff_section(FILE *out, const char *title)
{
    put_title(out, "SH", title);
}

void roff_subsection(FILE *out, const char *title)
{
    put_title(out, "SS", title);
}

void roff_paragraph(FILE *out, const char *text)
{
    fputs(".PP\n", out);
    roff_text(out, text);
}

void roff_entry(FILE *out, const char *term, const char *text)
{
    fputs(".TP\n\\fB", out);
    put_escaped(out, term, strlen(term));
    fputs("\\fR\n", out);
    roff_text(out, *text ? text : "See above.");
}

void roff_example_begin(FILE *out)
{
    fputs(".PP\n.RS 4\n.nf\n", out);
}

void roff_line(FILE *out, const char *text, int length)
{
    put_escaped(out, text, (size_t)length);
    fputc('\n', out);
}

void roff_example_end(FILE *out)
{
    fputs(".fi\n.RE\n", out);
}

void roff_see_also(FILE *out, const char *pages)
{
    roff_section(out, "SEE ALSO");
    while (*pages) {
        size_t name = strcspn(pages, "("), whole = strcspn(pages, " ");

        fputs(".BR ", out);
        put_escaped(out, pages, name);
        fprintf(out, " %.*s\n", (int)(whole - name), pages + name);
        pages += whole + (pages[whole] == ' ');
    }
}
