/* Fault points in a program's own code. Header-only, C11 and C++11, gcc and clang; nothing to link.
 *
 *   PERTURB_POINT("name")         a place where latency and crash can act:  PERTURB_POINT("wal.rotate");
 *   PERTURB_POINT_ERROR("name")   the same, and an int: 0, or the errno to fail with where `fail` acts here
 *                                     int error = PERTURB_POINT_ERROR("wal.fsync");
 *                                     if (error) { errno = error; return -1; }
 *
 *   perturb exec -f 'fail@code:EIO,label=wal.*,p=1%' -- ./server
 *
 * Without libperturb.so in the process a point tests a word of the program's own and goes on; in a static program always. With the
 * library and nothing armed at points it is the same instructions: two loads, a test, a branch not taken. A point keeps errno.
 *
 * NAME is a string literal; letters, digits and . _ - / : are sure, at most 63 of them, % { | } \ and quotes are not possible (nor in
 * the name of the source file: define PERTURB_POINT_FILE as another string before). One name may stand at several places.
 * PERTURB_POINTS_OFF makes all of them nothing, as on machines other than 64-bit x86 and arm.
 *
 * The rest is how libperturb.so finds them, an interface to it alone (version 1):
 *   section perturb_points   one record a place: struct perturb_point
 *   note "perturb", type 1   where this object's struct perturb_gate is: 8 bytes, counted from themselves
 *   perturb_points_come()    of the library: called as an object is loaded, which tells of those that come later, by dlopen(3) */
#ifndef PERTURB_PERTURB_H
#define PERTURB_PERTURB_H

#include <stdint.h>

#define PERTURB_GATE_BIT (UINT32_C(1) << 29) /* of the word behind `armed`: a point of some name may act */

/* All parts lie in one place, so that a file can be read as it is: text is "NAME\0FILE\0", padded to `size`. */
struct perturb_point {
    uint32_t size; /* of the whole record, a multiple of 8 */
    uint32_t line;
    uint32_t gives_error; /* 1: PERTURB_POINT_ERROR */
    uint32_t place;       /* the library's */
    char text[1];
};

/* One an executable or shared object. */
struct perturb_gate {
    const uint32_t *armed; /* `idle`, or the library's word */
    int (*come)(struct perturb_point *point); /* set before `armed` */
    struct perturb_point *first, *end; /* of this object */
    uint32_t idle;
    uint32_t version;
};

#if defined(__linux__) && defined(__GNUC__) && defined(__LP64__) && (defined(__x86_64__) || defined(__aarch64__)) && \
    !defined(PERTURB_POINTS_OFF)

#ifdef __cplusplus
extern "C" {
#endif

extern struct perturb_point __start_perturb_points[] __attribute__((weak, visibility("hidden")));
extern struct perturb_point __stop_perturb_points[] __attribute__((weak, visibility("hidden")));
extern struct perturb_gate perturb_gate_of_object;
extern void perturb_points_come(struct perturb_gate *gate) __attribute__((weak));

__attribute__((weak, visibility("hidden"), used)) struct perturb_gate perturb_gate_of_object = {
    &perturb_gate_of_object.idle, 0, __start_perturb_points, __stop_perturb_points, 0, 1
};

/* One a source file that includes this; they all say the same. */
__asm__(".pushsection .note.perturb,\"a\",%note\n"
        ".balign 4\n"
        ".long 8, 8, 1\n"
        ".asciz \"perturb\"\n"
        ".quad perturb_gate_of_object - .\n"
        ".popsection");

__attribute__((constructor)) static void perturb_points_begin(void)
{
    if (perturb_points_come)
        perturb_points_come(&perturb_gate_of_object);
}

#ifdef __cplusplus
}
#endif

#ifdef __x86_64__
#define PERTURB_ADDRESS_ "lea 991b(%%rip), %0"
#else
#define PERTURB_ADDRESS_ "adrp %0, 991b\n add %0, %0, :lo12:991b"
#endif

#ifndef PERTURB_POINT_FILE
#define PERTURB_POINT_FILE __FILE__
#endif
#define PERTURB_TEXT_(text) #text
#define PERTURB_TEXT(text) PERTURB_TEXT_(text)

/* The record goes with the code: into its group ("?") when the code is in one. */
#define PERTURB_RECORD_(name, file, line, gives_error, ret_point)                                                            \
    __asm__ volatile(".pushsection perturb_points,\"aw?\",%%progbits\n"                                                      \
                     ".balign 8\n"                                                                                           \
                     "991: .long 992f - 991b, " PERTURB_TEXT(line) ", " PERTURB_TEXT(gives_error) ", 0\n"                     \
                     ".asciz " PERTURB_TEXT(name) "\n"                                                                       \
                     ".asciz " PERTURB_TEXT(file) "\n"                                                                       \
                     ".balign 8\n"                                                                                           \
                     "992:\n"                                                                                                \
                     ".popsection\n" PERTURB_ADDRESS_                                                                        \
                     : "=r"(ret_point))

#define PERTURB_ARMED_                                                                                                       \
    __builtin_expect((__atomic_load_n(__atomic_load_n(&perturb_gate_of_object.armed, __ATOMIC_RELAXED), __ATOMIC_RELAXED) &  \
                      PERTURB_GATE_BIT) != 0, 0)
#define PERTURB_COME_(name, gives_error)                                                                                     \
    __extension__({                                                                                                          \
        int perturb_result_ = 0;                                                                                             \
                                                                                                                             \
        if (PERTURB_ARMED_) {                                                                                                \
            struct perturb_point *perturb_point_;                                                                            \
                                                                                                                             \
            __atomic_thread_fence(__ATOMIC_ACQUIRE);                                                                         \
            PERTURB_RECORD_(name, PERTURB_POINT_FILE, __LINE__, gives_error, perturb_point_);                                \
            perturb_result_ = perturb_gate_of_object.come(perturb_point_);                                                   \
            __asm__ volatile("" : "+r"(perturb_result_)); /* no jump to it: who calls is known by the return address */      \
        }                                                                                                                    \
        perturb_result_;                                                                                                     \
    })

#define PERTURB_POINT(name) ((void)PERTURB_COME_(name, 0))
#define PERTURB_POINT_ERROR(name) PERTURB_COME_(name, 1)

#else

#define PERTURB_POINT(name) ((void)0)
#define PERTURB_POINT_ERROR(name) (0)

#endif

#endif
