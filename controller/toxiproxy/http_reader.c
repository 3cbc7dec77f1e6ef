/* Requests from bytes. */
#include "controller/toxiproxy/http_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>

enum { LINE_BYTES_MAX = 4096, TRAILERS_MAX = 100 };

void http_reader_init(struct http_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
    buf_init(&reader->head, HTTP_HEAD_BYTES_MAX);
    buf_init(&reader->body, HTTP_BODY_BYTES_MAX);
    buf_init(&reader->line, LINE_BYTES_MAX);
}

void http_reader_done(struct http_reader *reader)
{
    buf_done(&reader->head);
    buf_done(&reader->body);
    buf_done(&reader->line);
}

void http_reader_reset(struct http_reader *reader)
{
    http_reader_done(reader);
    http_reader_init(reader);
}

bool http_reader_is_empty(const struct http_reader *reader)
{
    return reader->phase == HTTP_HEAD && !reader->head.length;
}

/* ---- the head --------------------------------------------------------------------------------------------------------- */

static bool is_token(const char *text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (const char *at = text; *at; at++)
        if (!((*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z') || strchr(marks, *at)))
            return false;
    return *text != '\0';
}

static char *trim(char *text)
{
    size_t length;

    text += strspn(text, " \t");
    length = strlen(text);
    while (length && strchr(" \t", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static int read_request_line(struct http_request *request, char *line)
{
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

    if (!version || strlen(version + 1) != 8 || strncmp(version + 1, "HTTP/", 5) != 0)
        return -400;
    *target++ = '\0';
    *version++ = '\0';
    if (!is_token(line) || strlen(line) >= sizeof(request->method) || (*target != '/' && strcmp(target, "*") != 0))
        return -400;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return -505;
    memcpy(request->method, line, strlen(line) + 1);
    request->target = target;
    request->keep_alive = version[7] == '1';
    return 0;
}

struct framing {
    bool has_length, is_chunked;
    uint64_t length;
};

static int read_length(struct framing *framing, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    uint64_t length;

    if (!digits || value[digits] || digits > 18)
        return -400;
    length = strtoull(value, NULL, 10);
    if (framing->has_length && framing->length != length)
        return -400;
    framing->has_length = true;
    framing->length = length;
    return 0;
}

/* One word of a comma-separated list. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (*list) {
        list += strspn(list, " \t,");
        if (!strncasecmp(list, word, length) && strchr(" \t,", list[length]))
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

static int read_header(struct http_reader *reader, struct framing *framing, const char *name, const char *value)
{
    struct http_request *request = &reader->request;

    if (!strcasecmp(name, "content-length"))
        return read_length(framing, value);
    if (!strcasecmp(name, "transfer-encoding")) {
        if (strcasecmp(value, "chunked") != 0 || framing->is_chunked)
            return -501;
        framing->is_chunked = true;
    } else if (!strcasecmp(name, "connection")) {
        if (has_word(value, "close"))
            request->keep_alive = false;
        else if (has_word(value, "keep-alive"))
            request->keep_alive = true;
    } else if (!strcasecmp(name, "expect")) {
        reader->wants_continue = !strcasecmp(value, "100-continue");
    } else if (!strcasecmp(name, "user-agent")) {
        request->user_agent = value;
    } else if (!strcasecmp(name, "origin")) {
        request->has_origin = true;
        request->origin = value;
    } else if (!strcasecmp(name, "authorization")) {
        request->authorization = value;
    }
    return 0;
}

/* Cuts the next line out of `*text`; NULL at the end. */
static char *next_line(char **text)
{
    char *line = *text, *end = line ? strchr(line, '\n') : NULL;

    if (!end)
        return NULL;
    *text = end + 1;
    *end = '\0';
    if (end > line && end[-1] == '\r')
        end[-1] = '\0';
    return line;
}

static bool has_control(const char *line)
{
    for (; *line; line++)
        if (((unsigned char)*line < ' ' && *line != '\t') || *line == 0x7f)
            return true;
    return false;
}

static int read_headers(struct http_reader *reader, char *text, struct framing *framing)
{
    int count = 0, result;
    char *line;

    while ((line = next_line(&text)) && *line) {
        char *colon = strchr(line, ':');

        if (++count > HTTP_HEADERS_MAX)
            return -431;
        if (has_control(line) || !colon)
            return -400;
        *colon++ = '\0';
        if (!is_token(line)) /* a folded line or a space before the colon, too */
            return -400;
        result = read_header(reader, framing, line, trim(colon));
        if (result < 0)
            return result;
    }
    return 0;
}

static int read_head(struct http_reader *reader)
{
    char *text = reader->head.data, *line;
    struct framing framing = { .has_length = false };
    int result;

    if (memchr(text, '\0', reader->head.length))
        return -400;
    reader->request = (struct http_request){ .user_agent = "", .origin = "", .authorization = "" };
    line = next_line(&text);
    if (!line || has_control(line))
        return -400;
    result = read_request_line(&reader->request, line);
    if (result >= 0)
        result = read_headers(reader, text, &framing);
    if (result < 0)
        return result;
    if (framing.has_length && framing.is_chunked)
        return -400;
    if (framing.length > HTTP_BODY_BYTES_MAX)
        return -413;
    reader->body_left = framing.length;
    reader->phase = framing.is_chunked ? HTTP_CHUNK_SIZE : framing.length ? HTTP_BODY : HTTP_DONE;
    return 0;
}

/* Takes the head's bytes up to its empty line. */
static int feed_head(struct http_reader *reader, const char *bytes, size_t size, size_t *ret_taken)
{
    struct buf *head = &reader->head;

    for (size_t i = 0; i < size; i++) {
        if (!head->length && (bytes[i] == '\r' || bytes[i] == '\n'))
            continue; /* empty lines before a request (RFC 9112 section 2.2) */
        if (buf_append(head, &bytes[i], 1) < 0)
            return -431;
        if (bytes[i] != '\n')
            continue;
        if ((head->length >= 4 && !memcmp(head->data + head->length - 4, "\r\n\r\n", 4)) ||
            (head->length >= 2 && !memcmp(head->data + head->length - 2, "\n\n", 2))) {
            *ret_taken = i + 1;
            return read_head(reader);
        }
    }
    *ret_taken = size;
    return 0;
}

/* ---- the body --------------------------------------------------------------------------------------------------------- */

static int feed_bytes(struct http_reader *reader, const char *bytes, size_t size, size_t *ret_taken)
{
    size_t taken = (size_t)MIN((uint64_t)size, reader->body_left);

    if (buf_append(&reader->body, bytes, taken) < 0)
        return -413;
    reader->body_left -= taken;
    *ret_taken = taken;
    if (!reader->body_left)
        reader->phase = reader->phase == HTTP_BODY ? HTTP_DONE : HTTP_CHUNK_END;
    return 0;
}

static int read_chunk_size(struct http_reader *reader)
{
    const char *line = reader->line.data;
    size_t digits = strspn(line, "0123456789abcdefABCDEF");

    if (!digits || digits > 8 || (line[digits] && !strchr("; \t", line[digits])))
        return -400;
    reader->body_left = strtoull(line, NULL, 16);
    if (reader->body_left + reader->body.length > HTTP_BODY_BYTES_MAX)
        return -413;
    reader->phase = reader->body_left ? HTTP_CHUNK : HTTP_TRAILER;
    return 0;
}

static int read_line(struct http_reader *reader)
{
    switch (reader->phase) {
    case HTTP_CHUNK_SIZE:
        return read_chunk_size(reader);
    case HTTP_CHUNK_END:
        reader->phase = HTTP_CHUNK_SIZE;
        return reader->line.length ? -400 : 0;
    default:
        if (!reader->line.length)
            reader->phase = HTTP_DONE;
        return ++reader->trailers > TRAILERS_MAX ? -431 : 0;
    }
}

/* Takes one line of the chunked coding. */
static int feed_line(struct http_reader *reader, const char *bytes, size_t size, size_t *ret_taken)
{
    const char *end = memchr(bytes, '\n', size);
    size_t length = end ? (size_t)(end - bytes) : size;
    struct buf *line = &reader->line;
    int result;

    *ret_taken = end ? length + 1 : length;
    if (buf_append(line, bytes, length) < 0)
        return -400;
    if (!end)
        return 0;
    if (line->length && line->data[line->length - 1] == '\r')
        line->data[--line->length] = '\0';
    result = read_line(reader);
    buf_done(line);
    buf_init(line, LINE_BYTES_MAX);
    return result;
}

int http_reader_feed(struct http_reader *reader, const char *bytes, size_t size, size_t *ret_taken)
{
    int result = 0;

    *ret_taken = 0;
    while (result >= 0 && *ret_taken < size && reader->phase != HTTP_DONE) {
        size_t taken = 0, left = size - *ret_taken;

        if (reader->phase == HTTP_HEAD)
            result = feed_head(reader, bytes + *ret_taken, left, &taken);
        else if (reader->phase == HTTP_BODY || reader->phase == HTTP_CHUNK)
            result = feed_bytes(reader, bytes + *ret_taken, left, &taken);
        else
            result = feed_line(reader, bytes + *ret_taken, left, &taken);
        *ret_taken += taken;
    }
    if (result < 0)
        return result;
    if (reader->phase != HTTP_DONE)
        return 0;
    reader->request.body = reader->body.data;
    reader->request.body_size = reader->body.length;
    return 1;
}
