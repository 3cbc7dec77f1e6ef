srcs-controller += controller/serve/zone.c controller/serve/cron.c
srcs-controller += controller/serve/feed.c
