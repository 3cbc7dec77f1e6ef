srcs-controller += controller/serve/zone.c controller/serve/cron.c
srcs-controller += controller/serve/db.c controller/serve/claims.c controller/serve/notify.c controller/serve/spawn.c controller/serve/orders.c
srcs-controller += controller/serve/supervisor.c controller/serve/queue.c controller/serve/service.c controller/serve/lever.c controller/serve/loop.c
srcs-controller += controller/serve/status.c
srcs-controller += controller/serve/feed.c
srcs-controller += $(wildcard controller/serve/*.c)
