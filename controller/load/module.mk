srcs-controller += controller/load/load.c controller/load/spec.c controller/load/loop.c controller/load/records.c controller/load/shed.c \
    controller/load/match.c controller/load/http.c controller/load/resp.c controller/load/resp_reader.c
