/* What a program prints: its first number, or a number of the JSON it prints. */
#include "controller/probe/probe_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20 };

int text_first_number(const char *text, double *ret_value)
{
    for (const char *place = text; *place; place++) {
        char *end;

        if (!isdigit((unsigned char)*place))
            continue;
        if (place > text && place[-1] == '.')
            place--;
        if (place > text && place[-1] == '-')
            place--;
        *ret_value = strtod(place, &end);
        return 0;
    }
    return -ENOENT;
}

static int command_read(struct reading *reading)
{
    const struct command_probe *command = &reading->probe->command;
    struct buf output;
    double value;
    int result;

    buf_init(&output, OUTPUT_MAX);
    result = reading_run(reading, &command->run, environ, &output);
    if (!result && (command->path ? json_number_at(output.data, command->path, &value) < 0 : text_first_number(output.data, &value) < 0))
        result = reading_fail(reading, "'%s' printed no number%s%s", command->run.items[0], command->path ? " at " : "",
                              command->path ? command->path : "");
    if (!result)
        reading_put(reading, reading->now_ns, value);
    buf_done(&output);
    return result;
}

const struct probe_reader probe_command = { .read = command_read };
