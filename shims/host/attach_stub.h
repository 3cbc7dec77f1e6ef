/* The few hundred bytes that late attach puts into a program, and what they say back.
 *
 * They are copied into the unused rest of a page of code, with the block filled in; then one thread's registers are set once, to
 * enter at `entry`, and it is let go. From then on the bytes need nobody: they save every register, take a stack of their own, do
 * their work, put everything back and jump to where the thread was. So whoever set them going may be killed at any instant.
 *
 *     the program                                               perturb
 *       saves its registers below the thread's stack
 *       makes a pair of sockets, writes them and the nonce there
 *                                        <-- reads them, takes one by pidfd_getfd
 *                                        <-- sends the nonce, and descriptors: the library's and the page's
 *       waits for that, `patience_ms` at the most; closes the end that was taken
 *       dlopen, dlsym, call; or call alone
 *       sends `struct attach_answer`  -->
 *       closes all, puts registers, signal mask and errno back, goes on
 *
 * Nothing writes to the program once its thread runs. Signals are blocked meanwhile, so that no handler can jump out of it. */
#ifndef PERTURB_SHIMS_ATTACH_STUB_H
#define PERTURB_SHIMS_ATTACH_STUB_H

#include <stddef.h>
#include <stdint.h>

enum {
    STUB_NOTE_BELOW = 128 + 16 * 8 + 32, /* where struct attach_note lies below the stack pointer: red zone, registers, itself */
    STUB_SYMBOL_MAX = 24,
    STUB_TEXT_MAX = 200,
};

enum stub_step { STUB_DONE, STUB_RECEIVING, STUB_LOADING, STUB_FINDING };

struct attach_block {
    uint64_t resume_ip, resume_ax;
    uint64_t state_size; /* of the extended state: attach_stub_state_size() */
    uint64_t nonce;
    uint64_t dlopen, dlsym, dlerror, errno_location; /* addresses in the program */
    uint64_t function;                               /* not 0: load nothing, call this one without an argument */
    uint64_t begin_ns; /* CLOCK_MONOTONIC of the writing, for who finds it there later */
    int64_t patience_ms;
    char folder[STUB_SYMBOL_MAX]; /* of the library that comes: its descriptor's number is put behind */
    char symbol[STUB_SYMBOL_MAX]; /* else: of the library that comes, called with the page's descriptor */
};

struct attach_note {
    uint64_t nonce; /* written last */
    int32_t ends[2]; /* the first is for us */
    uint64_t reserved[2];
};

struct attach_answer {
    uint64_t nonce;
    int64_t value;  /* what the function returned */
    uint64_t end_ns; /* CLOCK_MONOTONIC */
    uint32_t step;  /* enum stub_step: where it stopped */
    char text[STUB_TEXT_MAX]; /* of dlerror() */
};

/* The bytes, their number, and where in them block and entry lie. NULL on machines for which they were not written. */
const void *attach_stub(size_t *ret_size, size_t *ret_entry);

/* Bytes that saving all vector and floating-point registers takes on this machine. */
uint64_t attach_stub_state_size(void);

#endif
