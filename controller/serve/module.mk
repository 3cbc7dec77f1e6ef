srcs-controller += controller/serve/zone.c controller/serve/cron.c
srcs-controller += controller/serve/db.c controller/serve/claims.c controller/serve/notify.c controller/serve/spawn.c controller/serve/orders.c
srcs-controller += controller/serve/supervisor.c controller/serve/queue.c controller/serve/service.c controller/serve/lever.c controller/serve/loop.c
srcs-controller += controller/serve/status.c
srcs-controller += controller/serve/feed.c
srcs-controller += controller/serve/api.c controller/serve/archive.c controller/serve/digest.c controller/serve/dispatch.c controller/serve/gate.c \
                   controller/serve/http.c controller/serve/json.c controller/serve/library.c controller/serve/listen.c controller/serve/page.c \
                   controller/serve/route.c controller/serve/schema.c controller/serve/uri.c controller/serve/workers.c controller/serve/assets.S
srcs-controller += controller/serve/api_playbooks.c controller/serve/api_runs.c controller/serve/api_status.c
srcs-controller += controller/serve/api_metrics.c controller/serve/counts.c controller/serve/pump.c
srcs-controller += controller/serve/hub.c controller/serve/api_events.c

$(BUILD)/controller/serve/assets.o: $(wildcard controller/serve/page/*) controller/serve/schemas.json
srcs-controller += controller/serve/schedule_plan.c controller/serve/scheduler.c controller/serve/schedules.c controller/serve/windows.c \
                   controller/serve/suites.c controller/serve/suite_runs.c controller/serve/sync.c controller/serve/body.c controller/serve/settings.c \
                   controller/serve/protect.c controller/serve/api_orders.c controller/serve/api_schedules.c controller/serve/api_suites.c
srcs-controller += $(wildcard controller/serve/*.c)
$(BUILD)/controller/serve/assets.o: controller/serve/schemas.json
srcs-controller += controller/serve/page/files.S
$(BUILD)/controller/serve/page/files.o: $(wildcard controller/serve/page/*)
