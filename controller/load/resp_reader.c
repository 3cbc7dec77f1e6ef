/* Finds the end of one RESP2 reply. A byte at a time, except inside bulk strings. */
#include "controller/load/resp_reader.h"

#include <string.h>

/* An element ended: closes every array that it was the last element of. */
static enum resp_status element_end(struct resp_reader *reader)
{
    reader->type = 0;
    while (reader->depth > 0) {
        if (--reader->left[reader->depth - 1] > 0)
            return RESP_MORE;
        reader->depth--;
    }
    return RESP_DONE;
}

static enum resp_status line_end(struct resp_reader *reader)
{
    int64_t number = reader->negative ? -reader->number : reader->number;

    if (reader->type == '+' || reader->type == '-')
        return element_end(reader);
    if (reader->digits == 0)
        return RESP_BAD;
    if (reader->type == ':' || (number == -1 && reader->digits == 1)) /* an integer, a null */
        return element_end(reader);
    if (reader->negative)
        return RESP_BAD;
    if (reader->type == '$') {
        if (number > RESP_BULK_MAX)
            return RESP_BAD;
        reader->in_bulk = true;
        reader->bulk_left = number + 2;
        return RESP_MORE;
    }
    if (number == 0)
        return element_end(reader);
    if (number > RESP_ITEMS_MAX || reader->depth == RESP_DEPTH_MAX)
        return RESP_BAD;
    reader->left[reader->depth++] = number;
    reader->type = 0;
    return RESP_MORE;
}

static enum resp_status element_begin(struct resp_reader *reader, char byte)
{
    if (byte == '\0' || !strchr("+-:$*", byte))
        return RESP_BAD;
    reader->is_error = reader->is_error || (byte == '-' && reader->depth == 0);
    reader->type = byte;
    reader->negative = false;
    reader->digits = 0;
    reader->line_bytes = 0;
    reader->number = 0;
    return RESP_MORE;
}

/* One byte of the line that follows a type byte; '\r' is remembered by setting the top bit of line_bytes. */
static enum resp_status line_byte(struct resp_reader *reader, char byte)
{
    const uint32_t after_cr = UINT32_C(1) << 31;

    if (reader->line_bytes & after_cr)
        return byte == '\n' ? line_end(reader) : RESP_BAD;
    if (byte == '\r') {
        reader->line_bytes |= after_cr;
        return RESP_MORE;
    }
    if (byte == '\n' || ++reader->line_bytes > RESP_LINE_MAX)
        return RESP_BAD;
    if (reader->type == '+' || reader->type == '-')
        return RESP_MORE;
    if (byte == '-' && reader->line_bytes == 1) {
        reader->negative = true;
        return RESP_MORE;
    }
    if (byte < '0' || byte > '9' || ++reader->digits > 18) /* 18 digits fit int64; 19 may not */
        return RESP_BAD;
    reader->number = reader->number * 10 + (byte - '0');
    return RESP_MORE;
}

static enum resp_status bulk_bytes(struct resp_reader *reader, const char *bytes, size_t length, size_t *used)
{
    enum resp_status status = RESP_MORE;

    if (reader->bulk_left > 2) {
        size_t skip = length < (size_t)(reader->bulk_left - 2) ? length : (size_t)(reader->bulk_left - 2);
        reader->bulk_left -= (int64_t)skip;
        *used += skip;
        return RESP_MORE;
    }
    if (bytes[0] != (reader->bulk_left == 2 ? '\r' : '\n'))
        return RESP_BAD;
    ++*used;
    if (--reader->bulk_left == 0) {
        reader->in_bulk = false;
        status = element_end(reader);
    }
    return status;
}

enum resp_status resp_reader_feed(struct resp_reader *reader, const char *bytes, size_t length, size_t *ret_used)
{
    enum resp_status status = RESP_MORE;
    size_t used = 0;

    while (used < length && status == RESP_MORE) {
        if (reader->in_bulk)
            status = bulk_bytes(reader, bytes + used, length - used, &used);
        else if (reader->type == 0)
            status = element_begin(reader, bytes[used++]);
        else
            status = line_byte(reader, bytes[used++]);
    }
    *ret_used = used;
    return status;
}
