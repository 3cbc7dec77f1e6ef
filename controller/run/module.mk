srcs-controller += controller/run/journal.c controller/run/undo.c controller/run/guardian.c controller/run/guardian_targets.c \
                   controller/run/guardian_host.c controller/run/events.c controller/run/executor.c controller/run/arm.c \
                   controller/run/wait.c controller/run/prepare.c controller/run/ready.c controller/run/series.c controller/run/steady.c \
                   controller/run/live.c controller/run/conduct.c controller/run/finish.c controller/run/free_port.c controller/run/expect.c controller/run/judge.c \
                   controller/run/document.c controller/run/run.c controller/run/recover.c controller/run/reports.c \
                   controller/run/guardian_setup.c controller/run/guardian_messages.c controller/run/rollback.c
srcs-controller += controller/run/backend.c controller/run/attach.c controller/run/workload.c
srcs-controller += controller/run/guardian_capture.c controller/run/capture.c
srcs-controller += controller/run/host_place.c controller/run/host_memory.c controller/run/host_helpers.c controller/run/host_partition.c \
                   controller/run/host_preview.c
srcs-controller += controller/run/locks.c controller/run/locks_document.c controller/run/locks_run.c
srcs-controller += controller/run/samples.c controller/run/samples_print.c
srcs-controller += controller/run/marks.c controller/run/people.c controller/run/holds.c controller/run/plan_file.c
srcs-controller += controller/run/shed.c controller/run/effects.c controller/run/ramp.c controller/run/ramp_describe.c
srcs-controller += controller/run/detected.c
srcs-controller += controller/run/probes.c controller/run/counters.c controller/run/health.c controller/run/outside.c controller/run/evidence_diff.c controller/run/guards.c controller/run/evidence.c
srcs-controller += controller/run/baseline.c controller/run/plot.c
