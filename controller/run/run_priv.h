/* Inside of a run: the state of the engine (the runner process), and the parts that work on it.
 *
 * One thread conducts. It waits only in run_wait(), which renews leases, takes events in, judges guards and draws the live view;
 * so a wedged engine stops renewing and everything ends by itself. */
#ifndef PERTURB_RUN_RUN_PRIV_H
#define PERTURB_RUN_RUN_PRIV_H

#include "controller/estimate/estimate.h"
#include "controller/load/load.h"
#include "controller/probe/evidence.h"
#include "controller/probe/probe.h"
#include "controller/run/events.h"
#include "controller/run/executor.h"
#include "controller/run/run.h"
#include "shims/host/page.h"

#include <cjson/cJSON.h>

enum { RUN_EXITS_MAX = 16, RUN_SERIES_MAX = 24, RUN_EFFECTS_MAX = 8 };

enum step_state { STEP_PENDING, STEP_ACTIVE, STEP_DONE };

/* What a host fault did, by the kernel's own count. */
struct effect {
    char what[32]; /* ends in its unit: "peak_bytes" */
    int64_t value;
};

/* A step of the method as it went. Instants are CLOCK_MONOTONIC ns, 0 when it did not happen. */
struct step_run {
    const struct step *step;
    enum step_state state;
    uint64_t requested_ns, armed_ns, injected_ns, released_ns;
    struct rule_counts counts; /* summed over the epochs it was armed in */
    struct effect effects[RUN_EFFECTS_MAX];
    size_t effect_count;
};

struct target_exit {
    uint64_t ns;
    int64_t status;
};

struct target_run {
    const struct target *target;
    pid_t pid;
    unsigned starts;
    struct target_exit exits[RUN_EXITS_MAX];
    size_t exit_count;
    struct page *page; /* its control page; NULL when no call fault can act in it */
    uint64_t points;   /* supervised, and intercepted at these; 0: it has the shim */
    uint64_t page_epoch;
};

struct load_run {
    const struct workload *workload;
    struct load *generator; /* NULL before it started */
};

/* How a proxy of the playbook comes to its connections. */
struct capture_run {
    enum capture_via via; /* auto while it is not decided, and where nothing is captured */
    char why[160];        /* in words */
    char page[CONTROL_NAME_MAX]; /* by the shim: the control page it reads; "" else */
};

struct probe_run {
    const struct probe *probe;
    struct prober *prober; /* NULL before it started */
};

struct guard_run {
    const struct guard *guard;
    double worst;       /* in the signal's unit; NaN before the first window */
    double tripped_at;  /* the value */
    uint64_t next_ns;   /* when it is judged next */
    int64_t streak;     /* breaches in a row */
    uint64_t breached_ns, tripped_ns, acted_ns; /* the streak's first; its last; all that it does was done */
};

/* A piece of evidence that is being taken, or somebody who is being told. */
struct evidence_run {
    const char *name; /* the capture's, or the guard's signal */
    const char *moment; /* "before", ..., "guard", "notify" */
    struct evidence_job *job; /* NULL once it has ended */
    struct evidence_result result;
};

enum { RUN_EVIDENCE_MAX = 64 };

struct steady_line {
    const struct bound *bound;
    double value; /* NaN: no data */
    bool held;
};

/* A snapshot of attempts and logical requests, for amplification. */
struct hop_count {
    uint64_t attempts[32]; /* by proxy */
    uint64_t logical;
    bool known;
};

struct run {
    const struct run_request *request;
    struct playbook *playbook;
    char id[RUN_ID_MAX], batch[RUN_ID_MAX];
    char playbook_path[4096]; /* real, or as given where it is no more */
    char *directory;
    uint64_t seed;
    uint64_t started_wall_ns;
    struct errs *errs;
    struct registry registry;

    struct executor guardian, wire;
    pid_t wire_pid;
    struct wire_hello wire_hello; /* zeros without a wire */
    uint64_t epoch; /* last one used, over all executors */
    uint64_t wire_epoch, host_epoch; /* of what is armed there; 0 when nothing is */
    uint64_t renew_due_ns;
    bool guardian_gone;

    struct event_log log;
    struct step_run *steps;
    struct target_run *targets;
    struct load_run *loads;
    struct probe_run *probes;
    struct probe_world world; /* what the probes' threads may ask */
    struct guard_run *guards;
    struct steady_line *steady;
    struct capture_run *captures; /* one a proxy */
    struct proxy_status *proxies; /* last known, one a proxy of the playbook */
    struct hop_count hops[4];     /* at: baseline start, baseline end, release, end */

    struct live *live; /* the view on a terminal; NULL when there is none */
    uint64_t zero_ns;                        /* the load's start */
    uint64_t baseline_start_ns, baseline_end_ns, method_ns, released_ns, end_ns;
    const char *phase;
    char abort_reason[160]; /* "" while the plan is followed */
    char release_reason[240]; /* "" unless a guard released the faults before their time */
    struct evidence_run evidence[RUN_EVIDENCE_MAX];
    size_t evidence_count;
    bool refused_baseline, unproven;
    char refusal[440];
    cJSON *undo, *verify, *notes; /* arrays of the result document */
};

/* ---- conduct.c ---- */
int run_conduct(struct run *run);
void run_phase(struct run *run, const char *phase);

/* ---- rollback.c ---- */
/* `conducts`: the engine runs it and goes on renewing; else the guardian does, after a fence. */
void run_roll_back(struct run *run, bool conducts);

/* ---- wait.c ---- */
/* Waits until the instant, or until the run is aborted or a guard released its faults. Returns false when it was. */
bool run_wait(struct run *run, uint64_t until_ns);
void run_tick(struct run *run);
void run_abort(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool run_is_aborted(const struct run *run);
int run_signals(void); /* installs the handlers of the runner */

/* ---- backend.c ---- */
/* Chooses how call faults get into a target that is to be spawned: sets `points`, or leaves it at 0 for the shim. Refuses a fault
 * that could never act, before anything is armed, with the reason (`perturb doctor` tells more). */
int run_choose_backend(struct run *run, struct target_run *target);

/* ---- prepare.c ---- */
int run_prepare(struct run *run);
void run_take_event(void *context, const struct event *event);

/* ---- capture.c ---- */
int run_choose_captures(struct run *run);                                             /* how; before anything listens */
int run_capture_spec(const struct run *run, size_t proxy, struct proxy_spec *spec);   /* what the wire is to know of it */
int run_capture(struct run *run);                                                     /* the proxies listen, no target runs yet */
bool run_captures_by_shim(const struct run *run, const struct target *target);
size_t run_shim_redirects(const struct run *run, const struct target *target, struct control_redirect *list); /* CONTROL_REDIRECTS_MAX */
void run_end_shim_captures(struct run *run);                                          /* the wire has gone */
void run_preview_captures(const struct playbook *playbook, struct errs *errs);
void run_describe_capture(const struct run *run, size_t proxy, cJSON *object);
bool run_may_redirect(const struct playbook *playbook); /* a proxy captures, and not only by the shim: rules of the kernel may be asked for */
void run_page_name(const struct run *run, const struct target *target, char name[CONTROL_NAME_MAX]); /* of a spawned one */

/* ---- host_preview.c ---- */
void run_preview_host(const struct run_request *request, const struct playbook *playbook, const struct step *step, struct errs *errs);

/* ---- arm.c ---- */
int run_arm_page(struct run *run, struct target_run *target); /* what acts now inside it, redirects included */
int run_arm_step(struct run *run, struct step_run *step);
int run_release_step(struct run *run, struct step_run *step);
void run_release_all(struct run *run);
void run_renew(struct run *run, uint64_t now_ns);
void run_poll_pages(struct run *run);
void run_count_hops(struct run *run, struct hop_count *ret_count);
bool run_verify(struct run *run);

/* ---- probes.c ---- */
int run_start_probes(struct run *run); /* at zero_ns, with the loads */
void run_stop_probes(struct run *run);
double run_probe_over(const struct run *run, const struct signal *signal, uint64_t from_ns, uint64_t until_ns);
int run_probe_series(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series);
cJSON *run_describe_probes(const struct run *run);

/* ---- series.c ---- */
enum window_by { WINDOW_BY_PLAN, WINDOW_BY_END };

/* The value of a signal over a window of finished requests, in the signal's unit (share 0..1, seconds, per second). NaN: no data. */
double run_signal_over(const struct run *run, const struct signal *signal, enum window_by by, uint64_t from_ns, uint64_t until_ns);

/* "99.9%", "12.3ms", "200/s" of such a value; "no data" for NaN. Returns text. */
char *run_signal_text(const struct signal *signal, double value, char *text, size_t size);

/* A bound of the playbook (ppm, ns, millihertz) in the same terms. */
double run_signal_bound(const struct signal *signal, int64_t bound);

int run_series(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series);
double run_base_bin_s(const struct run *run); /* pinned, or of the rigour: 20 ms quick, 100 ms full */
double run_signal_bin_s(const struct run *run, const struct signal *signal); /* the base bin, at least the time between two samples */
double run_seconds(const struct run *run, uint64_t ns);

/* ---- steady.c ---- */
bool run_judge_steady(struct run *run);

/* ---- guards.c ---- */
void run_judge_guards(struct run *run, uint64_t now_ns);
void run_guards_released(struct run *run); /* every fault has been released: guards that asked for it have acted */
bool run_is_cut_short(const struct run *run); /* a guard released the faults: the method goes no further */
void run_test_guard(struct run *run); /* the run is a test of one guard: its faults only count */
cJSON *run_describe_guards(const struct run *run);

/* ---- evidence.c ---- */
void run_take_evidence(struct run *run, const struct evidence *evidence, const char *moment);
void run_take_evidence_at(struct run *run, enum evidence_when when); /* all that the playbook wants at this moment */
void run_tell(struct run *run, const struct guard *guard, const char *value);
void run_poll_evidence(struct run *run); /* `during` that is due; events of what is done */
void run_end_evidence(struct run *run);
cJSON *run_describe_evidence(const struct run *run);

/* ---- live.c ---- */
void live_start(struct run *run);
void live_draw(struct run *run, uint64_t now_ns);
void live_stop(struct run *run);

/* ---- arm.c ---- */
/* The layer by which an executor is called: the wire carries out the faults of streams and of datagrams. */
static inline enum layer run_executor_layer(enum layer layer)
{
    return layer == LAYER_DATAGRAM ? LAYER_STREAM : layer;
}

/* ---- judge.c ---- */
struct judged_signal {
    struct signal signal;
    struct est_result result;
    bool deciding, judged;
};

struct judgement {
    struct judged_signal signals[RUN_SERIES_MAX];
    size_t signal_count;
    struct est_result combined;
    size_t last; /* the signal that decided */
    const char *verdict;
    int status;
    char why[480];
    char next[3][320];
    size_t next_count;
    cJSON *expect; /* array of the result document; owned by whoever takes it */
};
void run_judge(struct run *run, struct judgement *ret_judgement);

/* ---- document.c ---- */
cJSON *run_document(struct run *run, struct judgement *judgement);

/* ---- finish.c ---- */
int run_finish(struct run *run);
int run_write_reports(struct run *run, const cJSON *document);

/* Adds `history`, the earlier runs of the playbook, to the document. Without a history it stays as it is. */
void run_add_history(const struct run *run, cJSON *document);

/* The reports that the command line asked for; what cannot be written is an error of its own. */
void run_write_wanted_reports(const struct run_request *request, const struct run *run, const cJSON *document, struct errs *errs);

#endif
