/* The armed path of a wrapped call: the ruling is judged (shims/judge), here it is slept and reset. */
#include "shims/preload/shim.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum fd_kind kind_of(struct occasion *occasion)
{
    return judge_fd_kind(occasion->fd);
}

static bool site_of(const struct occasion *occasion, struct judge_site *ret_site)
{
    return shim_site_of(occasion->caller, ret_site);
}

static const char *thread_of(const struct occasion *occasion, char room[RULE_THREAD_MAX])
{
    (void)occasion;
    return prctl(PR_GET_NAME, room) ? NULL : room;
}

static uint64_t stream_of(const struct occasion *occasion)
{
    (void)occasion;
    return shim_stream();
}

static int own_fd(struct occasion *occasion)
{
    return occasion->fd;
}

static const struct judge_facts facts = {
    .kind = kind_of,
    .path = shim_path_of,
    .caller = shim_caller_of,
    .symbol = shim_symbol_of,
    .site = site_of,
    .thread = thread_of,
    .peer = shim_peer_of,
    .stream = stream_of,
    .ordinal = shim_ordinal,
    .turn = shim_turn,
    .own_fd = own_fd,
    .now_ns = shim_now_ns,
};

struct judge shim_judge(void)
{
    return (struct judge){ &shim_page.rules, shim_counters, &facts, shim_process };
}

static void count_asleep(struct control_process *process, struct control_count *const *counts, uint32_t count, int64_t by)
{
    if (process)
        __atomic_fetch_add(&process->asleep, by, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++)
        __atomic_fetch_add(&counts[i]->in_flight, by, __ATOMIC_RELAXED);
}

static void sleep_through(const struct occasion *occasion, struct ruling *ruling)
{
    struct control_process *process = shim_process;
    bool interrupted;

    count_asleep(process, ruling->sleeping, ruling->sleeping_count, 1);
    interrupted = shim_sleep(ruling->sleep_ns, ruling->generation, occasion->points);
    count_asleep(process, ruling->sleeping, ruling->sleeping_count, -1);
    if (interrupted) {
        ruling->error = EINTR;
        ruling->drop = ruling->fake = false;
        ruling->torn.count = ruling->unsynced.count = NULL;
        ruling->signal = 0;
    }
}

/* A connection that could not be reset is left to the real call, and the firing is taken back. */
static void drop_through(const struct occasion *occasion, struct ruling *ruling)
{
    if (shim_drop(occasion->fd))
        return;
    ruling->error = 0;
    judge_take_back(ruling);
}

bool shim_concerns(const struct glance *glance)
{
    const struct judge judge = shim_judge();
    bool result;

    if (shim_self.depth || !shim_counters)
        return false;
    if (SHIM_ARMED(glance->points & (CONTROL_REDIRECT | CONTROL_LOCKS)))
        return true;
    shim_self.depth++;
    result = judge_concerns(&judge, glance);
    shim_self.depth--;
    return result;
}

void shim_rule(struct occasion *occasion, struct ruling *ret_ruling)
{
    const struct judge judge = shim_judge();
    int saved = errno;

    memset(ret_ruling, 0, offsetof(struct ruling, sleeping));
    ret_ruling->size_max = UINT64_MAX;
    if (shim_self.depth || !SHIM_ARMED(occasion->points & ~(CONTROL_REDIRECT | CONTROL_LOCKS)))
        return;
    shim_self.depth++;
    judge_call(&judge, occasion, ret_ruling);
    shim_self.depth--;
    if (ret_ruling->sleep_ns)
        sleep_through(occasion, ret_ruling);
    if (ret_ruling->signal)
        syscall(SYS_kill, getpid(), ret_ruling->signal);
    if (ret_ruling->drop)
        drop_through(occasion, ret_ruling);
    shim_before(occasion, ret_ruling);
    errno = saved;
}

void shim_hold(const struct occasion *occasion, const struct ruling *ruling, bool succeeded)
{
    struct control_process *process = shim_process;
    int saved = errno;

    if (!ruling->holding_count)
        return;
    if (!succeeded) {
        judge_take_back_holds(ruling);
    } else {
        count_asleep(process, ruling->holding, ruling->holding_count, 1);
        (void)shim_sleep(ruling->hold_ns, ruling->generation, occasion->points);
        count_asleep(process, ruling->holding, ruling->holding_count, -1);
    }
    errno = saved;
}
