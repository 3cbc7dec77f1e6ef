srcs-controller += controller/serve/zone.c controller/serve/cron.c
