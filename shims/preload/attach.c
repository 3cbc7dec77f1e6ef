/* The two doors of late attach. `perturb attach` has loaded this library into a program that runs and calls the first; its address
 * book for the second is the control page. Both run on a thread of the program that `perturb attach` chose and holds. */
#include "shims/preload/shim.h"

#include <errno.h>

#define DOOR __attribute__((visibility("default")))

DOOR int perturb_attach(int page_fd);
DOOR int perturb_detach(void);

/* Takes the page behind a descriptor (which stays the caller's) and patches. Returns the number of slots, or a negative errno with
 * nothing changed. A second attach takes the new page. */
int perturb_attach(int page_fd)
{
    int saved = errno, result;

    if (!shim_page_take(page_fd, (uintptr_t)perturb_detach)) {
        result = -EPROTO;
    } else {
        result = shim_patch();
        shim_code_tie();
        if (result < 0) {
            shim_code_untie();
            shim_page_leave();
            result = -ENOTSUP;
        }
    }
    errno = saved;
    return result;
}

/* Puts every slot back and lets the page go. What is asleep in a call was woken by the release of the page before. The library
 * stays mapped: threads made meanwhile return through it, and it costs nothing. Returns the number of slots. */
int perturb_detach(void)
{
    int saved = errno;
    int result = shim_unpatch();

    shim_code_untie();
    shim_page_leave();
    errno = saved;
    return result;
}
