/* Numbers for people: three significant digits, always with a unit, "-" for unknown (NaN).
 * The text is returned by value, so `fmt_seconds(x).text` lives until the end of the full expression (C11 6.2.4 p8). */
#ifndef PERTURB_REPORT_FORMAT_H
#define PERTURB_REPORT_FORMAT_H

struct fmt {
    char text[48];
};

struct fmt fmt_seconds(double seconds);    /* "400 ms", "10.4 s", "12 min 34 s" */
struct fmt fmt_instant(double seconds);    /* "23.004 s": a point on the run's clock, to the millisecond */
struct fmt fmt_delta(double seconds);      /* "+16 ms" */
struct fmt fmt_share(double share);        /* "99.9 %"; never rounds up to 100 % nor down to 0 % */
struct fmt fmt_count(double count);        /* "1,234,567" */
struct fmt fmt_bytes(double bytes);        /* "1.5 MiB" */
struct fmt fmt_times(double ratio);        /* "1.80x" */
struct fmt fmt_rate(double per_second);    /* "200/s" */

/* `unit` is a word of the document: share, seconds, per_s, count; anything else is printed bare. */
struct fmt fmt_value(const char *unit, double value);

#endif
