srcs-controller += controller/probe/probe.c controller/probe/stat.c controller/probe/fetch.c controller/probe/proc.c \
                   controller/probe/command.c controller/probe/json.c
