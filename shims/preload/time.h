/* What takes the place of calls that read a clock or wait by one, and of those that look names up, while a rule wants it. Each gets
 * the real function first, else its arguments are the call's. */
#ifndef PERTURB_SHIMS_TIME_H
#define PERTURB_SHIMS_TIME_H

#include "shims/preload/shim.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

typedef int shim_clock_function(clockid_t, struct timespec *);
typedef int shim_sleep_function(clockid_t, int, const struct timespec *, struct timespec *);
typedef int shim_poll_function(struct pollfd *, nfds_t, int);
typedef int shim_ppoll_function(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
typedef int shim_select_function(int, fd_set *, fd_set *, fd_set *, struct timeval *);
typedef int shim_pselect_function(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *);
typedef int shim_epoll_function(int, struct epoll_event *, int, int);
typedef int shim_epoll_p_function(int, struct epoll_event *, int, int, const sigset_t *);
typedef int shim_epoll_p2_function(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);

/* clock.c: readings */
int shim_clock_gettime(shim_clock_function *real, clockid_t clock, struct timespec *ret_time);
int shim_gettimeofday(int (*real)(struct timeval *, void *), struct timeval *ret_time, void *zone);
time_t shim_time(time_t (*real)(time_t *), time_t *ret_time);
int shim_timespec_get(int (*real)(struct timespec *, int), struct timespec *ret_time, int base);

/* wait.c: sleeps and waits for descriptors. They make the real call in slices, so that it stays what it is (cancellation,
 * signals) and a change of the clock or its end is noticed. */
int shim_clock_nanosleep(shim_sleep_function *real, clockid_t clock, int flags, const struct timespec *time, struct timespec *rest);
int shim_nanosleep(shim_sleep_function *real, const struct timespec *time, struct timespec *rest);
int shim_usleep(shim_sleep_function *real, useconds_t time_us);
unsigned shim_sleep_s(shim_sleep_function *real, unsigned time_s);
int shim_poll(shim_poll_function *real, struct pollfd *list, nfds_t count, int limit_ms);
int shim_ppoll(shim_ppoll_function *real, struct pollfd *list, nfds_t count, const struct timespec *limit, const sigset_t *mask);
int shim_select(shim_select_function *real, int count, fd_set *in, fd_set *out, fd_set *bad, struct timeval *limit);
int shim_pselect(shim_pselect_function *real, int count, fd_set *in, fd_set *out, fd_set *bad, const struct timespec *limit,
                 const sigset_t *mask);
int shim_epoll_wait(shim_epoll_function *real, int fd, struct epoll_event *list, int count, int limit_ms);
int shim_epoll_pwait(shim_epoll_p_function *real, int fd, struct epoll_event *list, int count, int limit_ms, const sigset_t *mask);
int shim_epoll_pwait2(shim_epoll_p2_function *real, int fd, struct epoll_event *list, int count, const struct timespec *limit,
                      const sigset_t *mask);

/* WAITS_ bits of a wait: with a limit in ms, of a limit, until an instant of a clock, of a clock that is not told. */
uint32_t waits_ms(int limit_ms);
uint32_t waits_limit(const void *limit);
uint32_t waits_clock(clockid_t clock);
uint32_t waits_sleep(clockid_t clock, int flags);
uint32_t waits_timer(bool absolute, const struct itimerspec *setting);
uint32_t waits_until(const struct timespec *until);

/* wait_lock.c: waits for locks and conditions until an instant */
bool shim_until_is_sound(clockid_t clock, const struct timespec *until);

/* The true instant at which the next slice ends; false when the wait itself is over by the shown clock. */
bool shim_slice_end(clockid_t clock, const struct timespec *until, struct timespec *ret_end);
bool shim_condition_slice_end(clockid_t clock, const struct timespec *until, struct timespec *ret_end);

/* What a wait for a condition returns that ended so. */
int shim_condition_told(int result, clockid_t clock, const struct timespec *until);

/* timer.c: an absolute setting as the kernel is to have it; `room` when it has to be another. */
const struct itimerspec *shim_timer(bool absolute, const struct itimerspec *setting, struct itimerspec *room);

/* names.c */
bool resolves(const char *name); /* it is a name and no address */
int shim_eai(int error);         /* the errno of a ruling in the codes of getaddrinfo(3) and of netdb.h */
int shim_h_errno(int error);
int shim_answer_list(int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **), const struct ruling *ruling,
                     const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list);

/* The address to look up instead of a name, as text; NULL: the name itself. And what that gave, to be given again. */
enum { ANSWER_TEXT_MAX = 64 };
const char *shim_answer_instead(const struct ruling *ruling, const char *name, int family, char room[ANSWER_TEXT_MAX]);
void shim_answer_keep(const struct ruling *ruling, const char *name, int family, const struct hostent *answer);

#endif
