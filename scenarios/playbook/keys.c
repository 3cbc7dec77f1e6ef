/* The keys of a playbook: the one description of its shape. */
#include "scenarios/playbook/keys.h"

#include "scenarios/vocab/message.h"

static const struct key_desc ready_keys[] = {
    { "tcp", KEY_TEXT, AT(ready_probe, tcp), .help = "Ready when HOST:PORT accepts a connection." },
    { "http", KEY_TEXT, AT(ready_probe, http), .help = "Ready when the URL answers with a 2xx status." },
    { "timeout", VALUE(UNIT_DURATION, MILLISECOND, 3600 * SECOND, 10 * SECOND), AT(ready_probe, timeout), .help = "Give up after." },
};
static const struct section_desc ready_section = { "ready", sizeof(struct ready_probe), KEYS(ready_keys), NO_NODE, NO_NAME,
                                                   .help = "How to know that a target serves." };

static const struct key_desc lock_keys[] = {
    { "watch", VALUE(UNIT_BOOL, 0, 1, 0), AT(lock_watch, watch), .help = "Note who waits for which lock and who holds it; save it all when a wait is too long." },
    { "snapshot_after", VALUE(UNIT_DURATION, MILLISECOND, 3600 * SECOND, 5 * SECOND), AT(lock_watch, snapshot_after), .help = "A wait is too long from here on." },
    { "break", VALUE(UNIT_ENUM, 0, 2, 0), AT(lock_watch, breaks), .words = "off edeadlk crash",
      .help = "A deadlock: edeadlk ends its youngest wait with that errno, crash the process with SIGABRT." },
    { "profile", VALUE(UNIT_COUNT, 0, 1000000, 0), AT(lock_watch, profile), .help = "Contention by call site; one in so many contended acquisitions is timed. 0: none." },
};
static const struct section_desc lock_section = { "locks", sizeof(struct lock_watch), KEYS(lock_keys), NO_NODE, NO_NAME,
                                                  .help = "What the target does with its locks (preload shim)." };

static const struct key_desc target_keys[] = {
    { "command", KEY_TEXTS, AT(target, command), .help = "Program and arguments that the run spawns." },
    { "env", KEY_PAIRS, AT(target, env), .words = "=", .help = "Environment added to the run's own." },
    { "directory", KEY_TEXT, AT(target, directory), .help = "Working directory." },
    { "pid", VALUE(UNIT_COUNT, 1, 4194304, ABSENT), AT(target, pid), .help = "A process that already runs." },
    { "unit", KEY_TEXT, AT(target, unit), .help = "A systemd unit that already runs." },
    { "cgroup", KEY_TEXT, AT(target, cgroup), .help = "A control group that already has processes." },
    { "address", KEY_TEXT, AT(target, address), .help = "HOST:PORT of something reached only by network." },
    { "ready", KEY_SECTION, AT(target, ready), .section = &ready_section, .help = "How to know that it serves." },
    { "shim", VALUE(UNIT_BOOL, 0, 1, 0), AT(target, shim), .help = "Load libperturb.so though no fault asks for it." },
    { "attach", VALUE(UNIT_BOOL, 0, 1, 0), AT(target, attach),
      .help = "pid, unit, cgroup: bring the shim into its processes for call faults, and out of action again at the end of the run." },
    { "backend", VALUE(UNIT_ENUM, 0, 2, TARGET_BACKEND_AUTO), AT(target, backend), .words = "auto preload seccomp",
      .help = "How call faults get into it: the preload shim, or a supervisor (static and Go programs). auto looks at the program." },
    { "locks", KEY_SECTION, AT(target, locks), .section = &lock_section, .help = "What it does with its locks." },
};
static const struct section_desc target_section = { "target", sizeof(struct target), KEYS(target_keys), offsetof(struct target, node),
                                                    offsetof(struct target, name),
                                                    .help = "What is disturbed: spawned by the run, or already running." };

static const struct key_desc capture_keys[] = {
    { "tcp", KEY_TEXTS, AT(capture, tcp), .required = true, .help = "Ports: connects to them go through the proxy, wherever they go." },
    { "to", KEY_TEXTS, AT(capture, to), .help = "Only connects to these addresses: CIDR." },
    { "unit", KEY_TEXT, AT(capture, unit), .help = "Only connects of this systemd unit." },
    { "cgroup", KEY_TEXT, AT(capture, cgroup), .help = "Only connects of this control group (version 2)." },
    { "uid", KEY_TEXT, AT(capture, uid), .help = "Only connects of this user: a name or a number." },
    { "target", KEY_TEXT, AT(capture, target), .help = "Only connects of this target." },
    { "via", VALUE(UNIT_ENUM, 0, 2, CAPTURE_VIA_AUTO), AT(capture, via), .words = "auto nftables shim",
      .help = "How: rules of the kernel, or the preload shim inside the target. auto takes nftables where it may." },
};
static const struct section_desc capture_section = { "capture", sizeof(struct capture), KEYS(capture_keys), NO_NODE, NO_NAME,
                                                     .help = "Traffic goes through the proxy, the application untouched." };

static const struct key_desc proxy_keys[] = {
    { "listen", KEY_TEXT, AT(proxy, listen), .help = "HOST:PORT; port 0 chooses a free one. Default 127.0.0.1:0." },
    { "upstream", KEY_TEXT, AT(proxy, upstream), .help = "HOST:PORT it passes traffic to." },
    { "capture", KEY_SECTION, AT(proxy, capture), .section = &capture_section,
      .help = "In place of listen and upstream: whose connects go through it, each on to where it was going." },
    { "protocol", VALUE(UNIT_ENUM, 0, 1, 0), AT(proxy, protocol), .words = PROTOCOL_WORDS, .help = "tcp (also for Unix sockets): stream faults act on it. udp: datagram faults." },
    { "idle", VALUE(UNIT_DURATION, MILLISECOND, DAY, PROXY_IDLE_NS), AT(proxy, idle), .help = "udp: a client's session ends when nothing came for so long." },
};
static const struct section_desc proxy_section = { "proxy", sizeof(struct proxy), KEYS(proxy_keys), offsetof(struct proxy, node),
                                                   offsetof(struct proxy, name), .help = "A place on the wire." };

static const struct key_desc bound_keys[] = {
    { "signal", KEY_TEXT, AT(bound, signal_text), .required = true, .help = "LOAD.goodput, .errors, .rate, .p50 to .p99.9; PROBE, PROBE.max, .min, .last, .rate, .up, .p50 to .p99.9." },
    { "min", KEY_TEXT, AT(bound, min_text), .help = "At least this." },
    { "max", KEY_TEXT, AT(bound, max_text), .help = "At most this." },
};
static const struct section_desc bound_section = { "hypothesis", sizeof(struct bound), KEYS(bound_keys), offsetof(struct bound, node),
                                                   NO_NAME, .help = "What holds while nothing is disturbed." };

static const struct key_desc step_keys[] = {
    { "fault", KEY_TEXT, AT(step, fault), .help = "Which fault; `perturb faults` lists them." },
    { "hold", KEY_TEXT, AT(step, hold), .help = "In place of a fault: nothing further begins until somebody says go; a question to the room." },
    { "point", KEY_TEXT, AT(step, point), .help = "Call faults: where in the program." },
    { "proxy", KEY_TEXT, AT(step, proxy), .help = "Stream and datagram faults: on which proxy." },
    { "target", KEY_TEXT, AT(step, target), .help = "Call and host faults: in which target." },
    { "at", VALUE(UNIT_DURATION, 0, DAY, 0), AT(step, at), .help = "When, from the start of the method." },
    { "for", VALUE(UNIT_DURATION, MILLISECOND, DAY, ABSENT), AT(step, duration), .help = "How long; without it, to the end of the run." },
    { "repeat", VALUE(UNIT_COUNT, 1, 100, 1), AT(step, repeat), .help = "How many times it acts, each for as long." },
    { "every", VALUE(UNIT_DURATION, MILLISECOND, DAY, ABSENT), AT(step, every), .help = "Time from one repetition's start to the next." },
    { "otherwise", VALUE(UNIT_ENUM, 0, 1, HOLD_ABORTS), AT(step, otherwise), .words = "abort go", .help = "Of a hold: what follows when nobody says go within `for` (default 10m)." },
};
static const struct section_desc step_section = { "step", sizeof(struct step), KEYS(step_keys), offsetof(struct step, node), NO_NAME,
                                                  .open = true, .help = "One fault, with its parameters and selectors as keys; or a hold." };

static const struct key_desc guard_keys[] = {
    { "signal", KEY_TEXT, AT(guard, signal_text), .required = true, .help = "As in the hypothesis." },
    { "above", KEY_TEXT, AT(guard, above_text), .help = "Breached above this." },
    { "below", KEY_TEXT, AT(guard, below_text), .help = "Breached below this." },
    { "for", VALUE(UNIT_DURATION, 100 * MILLISECOND, 3600 * SECOND, SECOND), AT(guard, hold), .help = "Window it is judged over." },
    { "every", VALUE(UNIT_DURATION, 20 * MILLISECOND, 3600 * SECOND, 100 * MILLISECOND), AT(guard, every), .help = "How often it is judged." },
    { "breaches", VALUE(UNIT_COUNT, 1, 1000, 1), AT(guard, breaches), .help = "It trips at so many breaches in a row, never on one spike." },
    { "then", KEY_TEXTS, AT(guard, then),
      .help = "abort (the default: release, undo, observe, judge), release (the faults, and go on observing), capture, notify." },
    { "captures", KEY_TEXTS, AT(guard, captures), .help = "Which, of `captures`, when it trips." },
    { "notify", KEY_TEXTS, AT(guard, notify), .help = "Program and arguments; it finds PERTURB_RUN, PERTURB_GUARD and PERTURB_VALUE in its environment." },
};
static const struct section_desc guard_section = { "guard", sizeof(struct guard), KEYS(guard_keys), offsetof(struct guard, node),
                                                   NO_NAME, .help = "What ends the run early." };

static const struct key_desc evidence_keys[] = {
    { "url", KEY_TEXT, AT(evidence, url), .help = "What a GET of this answers." },
    { "command", KEY_TEXTS, AT(evidence, command), .help = "What this program prints." },
    { "proc", KEY_TEXT, AT(evidence, proc), .help = "What the kernel tells of this target: status, limits, descriptors, tasks and what they wait for." },
    { "stacks", KEY_TEXT, AT(evidence, stacks), .help = "The stacks of this target's threads, read from outside." },
    { "samples", VALUE(UNIT_COUNT, 1, 1000, 1), AT(evidence, samples), .help = "stacks: how many times, 50ms apart." },
    { "when", KEY_TEXTS, AT(evidence, when), .help = "before (the injection), during, after (the observation); without it, only when a guard asks." },
    { "at", VALUE(UNIT_DURATION, 0, DAY, SECOND), AT(evidence, at), .help = "during: when, from the start of the method." },
    { "timeout", VALUE(UNIT_DURATION, MILLISECOND, 600 * SECOND, 10 * SECOND), AT(evidence, timeout), .help = "Given up after." },
    { "size", VALUE(UNIT_SIZE, 1024, INT64_C(1) << 30, 16 << 20), AT(evidence, size_max), .help = "At most so much is kept." },
};
static const struct section_desc evidence_section = { "evidence", sizeof(struct evidence), KEYS(evidence_keys), offsetof(struct evidence, node),
                                                      offsetof(struct evidence, name),
                                                      .help = "Evidence that is kept with the run. Secrets in texts are blanked." };

static const struct key_desc rollback_keys[] = {
    { "command", KEY_TEXTS, AT(rollback, command), .required = true, .help = "Program and arguments." },
    { "timeout", VALUE(UNIT_DURATION, MILLISECOND, 3600 * SECOND, 10 * SECOND), AT(rollback, timeout), .help = "Ended after." },
};
static const struct section_desc rollback_section = { "rollback", sizeof(struct rollback), KEYS(rollback_keys),
                                                      offsetof(struct rollback, node), NO_NAME,
                                                      .help = "Commands that always run once faults are gone." };

static const struct key_desc convergence_keys[] = {
    { "max", VALUE(UNIT_DURATION, 0, DAY, ABSENT), AT(convergence_expectation, max), .help = "At most so long from release to convergence." },
    { "band", VALUE(UNIT_SHARE, 1000, 900000, 50000), AT(convergence_expectation, band), .help = "Pinned: how near to the baseline counts as back." },
    { "hold", VALUE(UNIT_DURATION, 100 * MILLISECOND, 3600 * SECOND, 5 * SECOND), AT(convergence_expectation, hold), .help = "Pinned: how long it must stay there." },
    { "bin", VALUE(UNIT_DURATION, 5 * MILLISECOND, 60 * SECOND, ABSENT), AT(convergence_expectation, bin), .help = "Pinned: base bin. Default 20ms (quick), 100ms (full)." },
    { "signals", KEY_TEXTS, AT(convergence_expectation, signals), .help = "The deciding signals. Default: the shares and rates of the hypothesis." },
    { "allow-new-level", VALUE(UNIT_BOOL, 0, 1, 0), AT(convergence_expectation, allow_new_level), .help = "Settling at another level passes." },
};
static const struct section_desc convergence_section = { "convergence", sizeof(struct convergence_expectation), KEYS(convergence_keys),
                                                         NO_NODE, NO_NAME, .help = "Bounds and pins of the convergence time." };

static const struct key_desc loss_keys[] = {
    { "max", VALUE(UNIT_DURATION, 0, DAY, ABSENT), AT(limit_expectation, max), .help = "At most so many seconds of full outage, signed area." },
};
static const struct section_desc loss_section = { "loss", sizeof(struct limit_expectation), KEYS(loss_keys), NO_NODE, NO_NAME,
                                                  .help = "What the fault may cost." };

static const struct key_desc amplification_keys[] = {
    { "max", VALUE(UNIT_RATIO, 0, 1000000, ABSENT), AT(limit_expectation, max), .help = "At most so many times the attempts per request of the baseline, under the fault and after." },
};
static const struct section_desc amplification_section = { "amplification", sizeof(struct limit_expectation), KEYS(amplification_keys),
                                                           NO_NODE, NO_NAME, .help = "Retries as a measured number." };

static const struct key_desc expect_keys[] = {
    { "convergence", KEY_SECTION, AT(expectation, convergence), .section = &convergence_section, .help = "Back within." },
    { "loss", KEY_SECTION, AT(expectation, loss), .section = &loss_section, .help = "Lost at most." },
    { "amplification", KEY_SECTION, AT(expectation, amplification), .section = &amplification_section, .help = "Retried at most." },
    { "during", KEY_LIST, AT(expectation, during), .section = &bound_section, .help = "What holds from the injection to the release: what serves in place of what is gone." },
    { "after", KEY_LIST, AT(expectation, after), .section = &bound_section, .help = "What holds in the last `hold` of the observation." },
    { "knee", KEY_SECTION, AT(expectation, knee), .section = &knee_section, .help = "Carried at least." },
};
static const struct section_desc expect_section = { "expect", sizeof(struct expectation), KEYS(expect_keys), NO_NODE, NO_NAME,
                                                    .help = "The bounds that decide pass or fail." };

static const struct key_desc wire_keys[] = {
    { "precise", VALUE(UNIT_BOOL, 0, 1, 0), AT(wire_options, precise), .help = "Held bytes go within some us of their instant; the wire spins for 150us before each, on a core of its own." },
};
static const struct section_desc wire_section = { "wire", sizeof(struct wire_options), KEYS(wire_keys), NO_NODE, NO_NAME,
                                                  .help = "What carries the proxies out." };

static const struct key_desc playbook_keys[] = {
    { "perturb", VALUE(UNIT_COUNT, 1, 1, ABSENT), AT(playbook, version), .required = true, .help = "Version of the playbook format: 1." },
    { "title", KEY_TEXT, AT(playbook, title), .required = true, .help = "The hypothesis in one sentence." },
    { "description", KEY_TEXT, AT(playbook, description), .help = "What one learns, what a healthy system shows." },
    { "service", KEY_TEXT, AT(playbook, service), .help = "Whose resilience this is." },
    { "owner", KEY_TEXT, AT(playbook, owner), .help = "Who answers for it." },
    { "tier", KEY_TEXT, AT(playbook, tier), .help = "infrastructure, middleware or application." },
    { "tags", KEY_TEXTS, AT(playbook, tags), .help = "Words to find it by." },
    { "rigour", VALUE(UNIT_ENUM, 0, 1, 0), AT(playbook, rigour), .words = "quick full", .help = "quick for the desk and CI, full for trends." },
    { "seed", KEY_TEXT, AT(playbook, seed_text), .help = "Of all draws; chosen and printed when absent." },
    { "vars", KEY_ANY, .help = "Variables for ${vars.NAME}, overridden by --var NAME=VALUE." },
    { "targets", KEY_MAP, AT(playbook, targets), .section = &target_section, .help = "Programs, by name." },
    { "proxies", KEY_MAP, AT(playbook, proxies), .section = &proxy_section, .help = "Places on the wire, by name." },
    { "wire", KEY_SECTION, AT(playbook, wire), .section = &wire_section, .help = "What carries the proxies out." },
    { "load", KEY_MAP, AT(playbook, loads), .section = &load_section, .required = true, .help = "Loads, by name." },
    { "probes", KEY_MAP, AT(playbook, probes), .section = &probe_section, .help = "What is watched beside the loads, by name." },
    { "captures", KEY_MAP, AT(playbook, evidence), .section = &evidence_section, .help = "Evidence that is kept with the run, by name." },
    { "warmup", VALUE(UNIT_DURATION, 0, 3600 * SECOND, SECOND), AT(playbook, warmup), .help = "Load before the baseline begins." },
    { "steady-state-hypothesis", KEY_LIST, AT(playbook, hypothesis), .section = &bound_section, .required = true, .help = "What holds while nothing is disturbed; judged before anything is injected." },
    { "method", KEY_LIST, AT(playbook, method), .section = &step_section, .required = true, .help = "The faults and when they act." },
    { "slo", KEY_SECTION, AT(playbook, slo), .section = &slo_section, .help = "What is promised to users." },
    { "ramp", KEY_SECTION, AT(playbook, ramp), .section = &ramp_section, .help = "Find the most load that is served as promised." },
    { "metastability", KEY_SECTION, AT(playbook, metastability), .section = &metastability_section, .help = "What is tried when the service stays down." },
    { "observe", VALUE(UNIT_DURATION, SECOND, DAY, ABSENT), AT(playbook, observe), .help = "Observation after the last release. Default: convergence.max (or hold) + 1.4 hold." },
    { "expect", KEY_SECTION, AT(playbook, expect), .section = &expect_section, .help = "The bounds that decide pass or fail." },
    { "guards", KEY_LIST, AT(playbook, guards), .section = &guard_section, .help = "What ends the run early." },
    { "rollback", KEY_LIST, AT(playbook, rollbacks), .section = &rollback_section, .help = "Commands that always run once faults are gone." },
    { "gameday", KEY_SECTION, AT(playbook, gameday), .section = &gameday_section, .help = "A guided run with people (`perturb gameday`)." },
    { "lease", VALUE(UNIT_DURATION, SECOND, 60 * SECOND, 5 * SECOND), AT(playbook, lease), .help = "Faults end by themselves so long after the run engine falls silent." },
};
const struct section_desc playbook_section = { "playbook", sizeof(struct playbook), KEYS(playbook_keys), NO_NODE, NO_NAME,
                                               .help = "A playbook, version 1." };
