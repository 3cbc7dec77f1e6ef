srcs-controller += controller/probe/probe.c controller/probe/stat.c controller/probe/fetch.c controller/probe/spawn.c \
                   controller/probe/proc.c controller/probe/command.c controller/probe/json.c \
                   controller/probe/evidence.c controller/probe/evidence_proc.c controller/probe/redact.c
