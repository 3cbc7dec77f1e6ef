srcs-controller += controller/load/load.c controller/load/spec.c controller/load/loop.c controller/load/records.c controller/load/shed.c controller/load/bins.c controller/load/match.c \
    controller/load/arrival.c controller/load/address.c controller/load/http.c controller/load/stream.c controller/load/resp.c \
    controller/load/resp_reader.c controller/load/tcp.c controller/load/udp.c controller/load/postgres.c \
    controller/load/outside.c controller/load/command.c
