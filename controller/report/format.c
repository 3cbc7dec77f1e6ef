/* Numbers for people. */
#include "controller/report/format.h"

#include "scenarios/base/cleanup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct fmt print(const char *format, double value)
{
    struct fmt out;

    if (!isfinite(value))
        return (struct fmt){ "-" };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out.text, sizeof(out.text), format, value);
#pragma GCC diagnostic pop
    return out;
}

struct fmt fmt_seconds(double seconds)
{
    double size = fabs(seconds);
    struct fmt out;

    if (size == 0)
        return (struct fmt){ "0 s" };
    if (size < 0.9995e-3)
        return print("%.3g us", seconds * 1e6);
    if (size < 0.9995)
        return print("%.3g ms", seconds * 1e3);
    if (size < 99.95)
        return print("%.3g s", seconds);
    if (size < 600 || !isfinite(seconds) || size > 1e9)
        return print(size > 1e9 ? "%.3g s" : "%.0f s", seconds);
    snprintf(out.text, sizeof(out.text), "%.0f min %.0f s", trunc(seconds / 60), floor(fmod(size, 60)));
    return out;
}

struct fmt fmt_instant(double seconds)
{
    return print(fabs(seconds) > 1e9 ? "%.3g s" : "%.3f s", seconds);
}

struct fmt fmt_delta(double seconds)
{
    struct fmt size = fmt_seconds(fabs(seconds)), out;

    if (!isfinite(seconds))
        return size;
    snprintf(out.text, sizeof(out.text), "%c%.40s", seconds < 0 ? '-' : '+', size.text);
    return out;
}

struct fmt fmt_share(double share)
{
    double percent = share * 100;

    if (share < 1 && percent >= 99.95)
        return percent >= 99.995 ? (struct fmt){ ">99.99 %" } : print("%.2f %%", percent);
    if (percent > 0 && percent < 0.001)
        return (struct fmt){ "<0.001 %" };
    return print(fabs(percent) < 999.5 ? "%.3g %%" : "%.0f %%", percent);
}

struct fmt fmt_count(double count)
{
    char digits[32];
    struct fmt out;
    size_t length, put = 0;

    if (!isfinite(count) || fabs(count) > 1e15)
        return print("%.3g", count);
    snprintf(digits, sizeof(digits), "%.0f", fabs(count));
    length = strlen(digits);
    if (count <= -0.5)
        out.text[put++] = '-';
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out.text[put++] = ',';
        out.text[put++] = digits[i];
    }
    out.text[put] = '\0';
    return out;
}

struct fmt fmt_bytes(double bytes)
{
    static const char *const formats[] = { "%.0f B", "%.3g KiB", "%.3g MiB", "%.3g GiB", "%.3g TiB" };
    size_t step = 0;

    while (fabs(bytes) >= 1000 && step + 1 < ARRAY_SIZE(formats)) {
        bytes /= 1024;
        step++;
    }
    return print(formats[step], bytes);
}

struct fmt fmt_times(double ratio)
{
    return print(fabs(ratio) < 99.5 ? "%.2fx" : "%.3gx", ratio);
}

struct fmt fmt_rate(double per_second)
{
    return print("%.4g/s", per_second);
}

struct fmt fmt_value(const char *unit, double value)
{
    if (strcmp(unit, "share") == 0)
        return fmt_share(value);
    if (strcmp(unit, "seconds") == 0)
        return fmt_seconds(value);
    if (strcmp(unit, "per_s") == 0)
        return fmt_rate(value);
    if (strcmp(unit, "count") == 0)
        return fabs(value) < 1000 ? print("%.4g", value) : fmt_count(value);
    return print("%.4g", value);
}
