srcs-controller += controller/probe/probe.c controller/probe/stat.c controller/probe/fetch.c controller/probe/spawn.c \
                   controller/probe/proc.c controller/probe/command.c controller/probe/json.c \
                   controller/probe/evidence.c controller/probe/evidence_proc.c controller/probe/evidence_stacks.c controller/probe/redact.c \
                   controller/probe/connect.c controller/probe/http.c controller/probe/tcp.c controller/probe/process.c \
                   controller/probe/pattern.c controller/probe/file.c controller/probe/tail.c controller/probe/log.c \
                   controller/probe/extract.c controller/probe/prometheus.c controller/probe/alertmanager.c controller/probe/redis.c \
                   controller/probe/postgres$(if $(has_libpq),,_absent).c
