/* Inside of a run: the state of the engine (the runner process), and the parts that work on it.
 *
 * One thread conducts. It waits only in run_wait(), which renews leases, takes events in, judges guards and draws the live view;
 * so a wedged engine stops renewing and everything ends by itself. */
#ifndef PERTURB_RUN_RUN_PRIV_H
#define PERTURB_RUN_RUN_PRIV_H

#include "controller/estimate/control.h"
#include "controller/estimate/effects.h"
#include "controller/estimate/estimate.h"
#include "controller/estimate/knee.h"
#include "controller/load/arrival.h"
#include "controller/load/load.h"
#include "controller/probe/evidence.h"
#include "controller/probe/probe.h"
#include "controller/run/events.h"
#include "controller/run/executor.h"
#include "controller/run/marks.h"
#include "controller/run/run.h"
#include "shims/host/page.h"

#include <cjson/cJSON.h>

enum { RUN_EXITS_MAX = 16, RUN_SERIES_MAX = 48, RUN_EFFECTS_MAX = 8 };

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
    uint64_t begun_ns; /* its planned begin, holds counted; what has a `for` ends so long after */
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
    struct lock_watcher *locks; /* NULL: not watched */
    uint64_t locks_due_ns;      /* of the next look */
    unsigned snapshots;
    cJSON *locks_found; /* for the result document, from the end on */
};

struct run;

struct load_run {
    const struct workload *workload;
    struct load *generator; /* NULL before it started */
    struct arrival *arrival;    /* the generator's plan; NULL for a constant rate */
    struct load_request *mix;   /* what it was made of, the texts borrowed from the playbook */
    char *datagram;             /* of a payload in hex */
};

/* The series made last, and what of. */
struct kept_series {
    struct est_series *series; /* NULL: none */
    const struct load *generator; /* NULL: of nothing that another measure could be taken of */
    double bin_s;
    uint64_t end_ns, records;
};

/* workload.c: makes the generator of load->workload, with all it borrows. 0 or -EINVAL, with findings in run->errs. */
int workload_new(struct run *run, struct load_run *load);
int workload_spec(const struct run *run, struct load_run *load, struct load_spec *ret_spec); /* all of it but when requests are due; 0 or -ENOMEM */
void workload_done(struct load_run *load); /* accepts one that was never made */

/* ---- outside.c: loads of other generators ---- */
/* The generator did what it was to do; else why not, in one sentence. */
bool run_load_is_fit(const struct load_run *load, char *why, size_t size);
double run_deadline_s(const struct load_run *load); /* of a request; where the generator does not say, the longest that one took */
void run_put_outside(const struct load_run *load, cJSON *object); /* nothing of a load of ours */


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
    double last;        /* as judged last; NaN before the first window */
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

/* The most attempts per request in a second, by proxy, with all proxies together last. */
struct peak_watch {
    struct hop_count last;
    uint64_t last_ns;
    double now;         /* of the last second, all proxies together; 0: none was measured */
    double worst[33];
    uint64_t worst_ns[33];
};

/* Load was taken away after the observation, to see whether the service comes back. Instants 0: it was not tried. */
struct shed_run {
    uint64_t from_ns, until_ns;
    struct effects_shedding found; /* the last of the deciding signals that were down */
};

struct ramp_step {
    uint64_t from_ns, until_ns; /* what was measured */
    double rate, served, failed_share, latency_s;
    double water[RAMP_WATER_MAX];
    bool good;
};

enum { RAMP_MOMENTS = 3, RAMP_STEPS_MAX = 200 };

struct ramp_run {
    struct ramp_step step[RAMP_STEPS_MAX];
    size_t count;
    struct knee knee;
    bool stuck;     /* after a step that was too much it did not come back at the lowest rate */
    char note[160]; /* why it ended before its end; "" */
};

/* What people did. */
struct hold_run {
    uint64_t begun_ns, ended_ns; /* 0: it did not come to it */
    const char *outcome;         /* "go", "bound" (nobody said go in time), "cut short"; NULL before its end */
};

struct people {
    struct mark *marks; /* owned */
    size_t count, capacity;
    off_t read; /* of marks.jsonl */
    int lock_fd; /* no mark is taken any more; -1 before */
    struct hold_run holds[HOLDS_MAX];
    size_t holds_done;
    bool alerted; /* an alert has marked the detection */
    uint64_t held_ns; /* what all holds together took: steps that had not begun come so much later */
};

struct judgement;

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
    struct kept_series *kept; /* owned */
    struct probe_run *probes;
    bool executors_silent;    /* one has not answered a probe's question: none is asked any more */
    struct probe_world world; /* what the probes' threads may ask */
    struct guard_run *guards;
    struct steady_line *steady;
    struct capture_run *captures; /* one a proxy */
    struct proxy_status *proxies; /* last known, one a proxy of the playbook */
    struct hop_count hops[4];     /* at: baseline start, baseline end, release, end */

    struct samples *samples; /* of live.jsonl; NULL when there are none */
    struct people people;
    struct live *live; /* the view on a terminal; NULL when there is none */
    uint64_t zero_ns;                        /* the load's start */
    uint64_t baseline_start_ns, baseline_end_ns, method_ns, released_ns, end_ns;
    const char *phase;
    char abort_reason[160]; /* "" while the plan is followed */
    char release_reason[240]; /* "" unless a guard released the faults before their time */
    struct evidence_run evidence[RUN_EVIDENCE_MAX];
    size_t evidence_count;
    struct peak_watch peak;
    struct shed_run shed;
    uint64_t ramp_from_ns; /* while a ramp climbs: since when; else 0 */
    struct ramp_run *ramps[RAMP_MOMENTS]; /* before, under fault, after; NULL: not done */
    bool refused_baseline, unproven;
    char refusal[440];
    cJSON *undo, *verify, *notes; /* arrays of the result document */
};

/* ---- conduct.c ---- */
int run_conduct(struct run *run);
void run_phase(struct run *run, const char *phase);
void run_apply_changes(struct run *run, uint64_t now_ns, bool begins); /* of the method: what is due ends, and begins */
uint64_t run_next_end_ns(const struct run *run);                       /* of a step that acts; UINT64_MAX */
uint64_t run_injected_ns(const struct run *run);                       /* of the first step that acted; 0: none has */


/* ---- shed.c ---- */
void run_shed_load(struct run *run); /* after the observation: only where the service is down though no fault acts */
cJSON *run_describe_shedding(const struct run *run); /* NULL when it was not tried */

/* ---- plot.c ---- */
/* What a reader sees of a signal (`alone`: without its control): {start_s, bin_s, values}, null without data. New. */
cJSON *run_describe_plot(const struct run *run, const struct signal *signal, bool alone);

/* ---- ramp.c ---- */
int run_ramp(struct run *run, enum ramp_when when); /* with a generator of its own, while no other load runs; nothing unless the playbook asks */
bool run_is_ramp_only(const struct run *run);
const struct ramp_run *run_ramp_at(const struct run *run, enum ramp_when when); /* NULL when it was not done */
double run_knee_hysteresis(const struct run *run, struct est_interval *ret_interval); /* NaN without both knees */
void run_free_ramps(struct run *run);

/* ---- ramp_describe.c ---- */
cJSON *run_describe_ramps(const struct run *run); /* NULL without any */
void run_judge_ramp(struct run *run, struct judgement *judgement);

/* ---- effects.c ---- */
void run_watch_peak(struct run *run, uint64_t now_ns);
void run_put_effects(const struct run *run, const struct judgement *judgement, cJSON *document);

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

/* Something that a run changes is journalled by the guardian before it is done: a verb of undo.h and its argument. 0 or -errno. */
int run_journal(struct run *run, const char *verb, const char *argument);

/* ---- attach.c: a target that already runs gets the shim, and a page. 0, or -errno with an error added. */
int run_attach(struct run *run, struct target_run *target);

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

/* ---- locks_run.c ---- */
bool run_watches_locks(const struct target *target);
bool run_needs_releases(const struct run *run, const struct target *target); /* libperturb-watch.so: points of it, or waits watched */
int run_locks_begin(struct run *run, struct target_run *target);             /* 0 or a negative errno */
void run_locks_look(struct run *run, uint64_t now_ns);
void run_locks_renew(struct run *run, uint64_t lease_ns);
void run_locks_end(struct target_run *target); /* before its page is closed */

/* ---- host_preview.c ---- */
void run_preview_host(const struct run_request *request, const struct playbook *playbook, const struct step *step, struct errs *errs);

/* ---- arm.c ---- */
bool run_read_proxies(struct run *run);                                                   /* their counters, into run->proxies */
void run_rule_counts(struct run *run, const struct step_run *step, struct rule_counts *ret_counts); /* up to now */
int run_arm_page(struct run *run, struct target_run *target); /* what acts now inside it, redirects included */
int run_arm_step(struct run *run, struct step_run *step);
int run_release_step(struct run *run, struct step_run *step);
void run_release_all(struct run *run);
void run_renew(struct run *run, uint64_t now_ns);
void run_poll_pages(struct run *run);
void run_count_hops(struct run *run, struct hop_count *ret_count);
bool run_verify(struct run *run);

/* ---- probes.c ---- */
int run_start_probes(struct run *run, uint64_t from_ns); /* with the first load; those that run are left alone */
void run_stop_probes(struct run *run);
double run_probe_over(const struct run *run, const struct signal *signal, uint64_t from_ns, uint64_t until_ns);
int run_probe_series(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series);
cJSON *run_describe_probes(const struct run *run);

/* ---- counters.c ---- */
void run_tell_probes(struct run *run, uint64_t now_ns); /* those whose numbers the engine knows, where they are due */

/* ---- health.c ---- */
/* The score of a health probe over the window that ends at `now_ns`, 0 to 1; NaN when it is unknown, and then `why` says by which. */
double run_health(const struct run *run, const struct health_probe *health, uint64_t now_ns, char *why, size_t size);
cJSON *run_describe_health(const struct run *run); /* by phase, of each score and its parts; NULL when there is none */

/* ---- series.c ---- */
enum window_by { WINDOW_BY_PLAN, WINDOW_BY_END };

/* The value of a signal over a window of finished requests, in the signal's unit (share 0..1, seconds, per second). NaN: no data. */
double run_signal_over(const struct run *run, const struct signal *signal, enum window_by by, uint64_t from_ns, uint64_t until_ns);

/* "99.9%", "12.3ms", "200/s" of such a value; "no data" for NaN. Returns text. */
char *run_signal_text(const struct signal *signal, double value, char *text, size_t size);

/* A bound of the playbook (ppm, ns, millihertz) in the same terms. */
double run_signal_bound(const struct signal *signal, int64_t bound);

/* As it is judged: against its control where it has one. Borrowed until the next call or run_series_done. Signals of one load are made
 * of the same requests, which are gone through once for all of them when they come one after the other. */
int run_series(const struct run *run, const struct signal *signal, double bin_s, const struct est_series **ret_series);
void run_series_done(const struct run *run);
/* The same, and alone: as it was. Both new. */
int run_series_new(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series);
int run_series_alone(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series);
const struct workload *run_control_of(const struct run *run, const struct signal *signal); /* the twin of its load; NULL without */
size_t run_excused(const struct run *run, const struct signal *signal, uint64_t from_ns, uint64_t until_ns); /* requests, by the control */
int run_effects_of(const struct run *run, size_t load, const struct effects_window *window, struct effects *ret_effects);
double run_base_bin_s(const struct run *run); /* pinned, or of the rigour: 20 ms quick, 100 ms full */
double run_signal_bin_s(const struct run *run, const struct signal *signal); /* the base bin, at least the time between two samples */
double run_seconds(const struct run *run, uint64_t ns);

/* ---- baseline.c ---- */
bool run_baseline(struct run *run); /* warm-up to steady state; false when nothing is to be injected: aborted, or run->refused_baseline */

/* ---- steady.c ---- */
bool run_judge_steady(struct run *run);

/* ---- guards.c ---- */
void run_judge_guards(struct run *run, uint64_t now_ns);
void run_guards_anew(struct run *run, uint64_t ramp_from_ns); /* a ramp begins, or with 0 has ended: streaks begin anew */
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

/* ---- evidence_diff.c ---- */
cJSON *run_evidence_diff(const struct run *run, const struct evidence_run *after); /* since `before`; NULL where there is none */

/* ---- samples.c: live.jsonl ---- */
void run_open_samples(struct run *run);
void run_sample(struct run *run, uint64_t now_ns);
void run_close_samples(struct run *run); /* accepts a run without */

/* ---- plan_file.c: plan.json, for the view. 0, or negative with an error added. */
int run_write_plan(const struct run *run, struct errs *errs);

/* ---- people.c ---- */
void run_take_marks(struct run *run); /* those that came since */
void run_end_marks(struct run *run);  /* the last ones: none is taken any more */
bool run_was_told_go(const struct run *run, uint64_t since_ns);
void run_put_people(struct run *run, cJSON *document); /* after the instants */
void run_mark(struct run *run, const struct mark *mark); /* one that the run sets itself */

/* ---- detected.c ---- */
void run_watch_alerts(struct run *run); /* the first alert after the injection marks the detection, where a probe says so */

/* ---- holds.c ---- */
uint64_t run_next_hold_ns(const struct run *run); /* UINT64_MAX: none is to come */
void run_hold(struct run *run);                   /* waits, where one is due */
cJSON *run_describe_holds(const struct run *run); /* NULL without any */

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

/* ---- outside.c ---- */
bool run_tells_no_plan(const struct run *run, const struct signal *signal); /* what counts requests by their plan, of a load that told none */
void run_withhold(const struct run *run, const struct signal *signal, struct est_result *result);

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
void run_judging(const struct run *run, struct est_pins *ret_pins, struct est_instants *ret_instants);

/* The deciding signals as of end_ns: true when they say that the service did not come back. */
bool run_is_down(struct run *run, struct judgement *ret_judgement);

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
