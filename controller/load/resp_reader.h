/* Finds the end of one RESP2 reply in a stream of bytes, however it is cut: simple strings, errors, integers, bulk strings,
 * arrays (nested), nulls. It keeps no bytes; it only tells where the reply ends and whether it is an error.
 * Source: the Redis serialization protocol specification, RESP2. Test: tests/unit/test_resp_reader.c. */
#ifndef PERTURB_CONTROLLER_LOAD_RESP_READER_H
#define PERTURB_CONTROLLER_LOAD_RESP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESP_DEPTH_MAX = 32, RESP_LINE_MAX = 65536 };
#define RESP_BULK_MAX (INT64_C(512) * 1024 * 1024) /* Redis's own limit of a string */
#define RESP_ITEMS_MAX (INT64_C(1024) * 1024)

enum resp_status { RESP_MORE, RESP_DONE, RESP_BAD };

/* Zero-initialise before each reply. */
struct resp_reader {
    bool is_error; /* the reply is an error, "-..."; one inside an array is not counted */
    char type;     /* of the element being read; 0 between elements */
    bool in_bulk, negative;
    uint8_t digits;
    uint32_t line_bytes;
    int64_t number;      /* of the line being read */
    int64_t bulk_left;   /* bytes of the bulk string and its CRLF still to come */
    uint32_t depth;      /* arrays being read */
    int64_t left[RESP_DEPTH_MAX]; /* elements still to come of each */
};

/* Reads on. RESP_DONE: the reply ended with the *ret_used-th byte; RESP_MORE: all bytes used; RESP_BAD: no RESP, or beyond
 * a limit. After DONE or BAD the reader must be zeroed. */
enum resp_status resp_reader_feed(struct resp_reader *reader, const char *bytes, size_t length, size_t *ret_used);

#endif
