srcs-controller += $(wildcard controller/serve/*.c) controller/serve/assets.S

$(BUILD)/controller/serve/assets.o: $(wildcard controller/serve/page/*) controller/serve/schemas.json
srcs-controller += controller/serve/schedule_plan.c controller/serve/scheduler.c controller/serve/schedules.c controller/serve/windows.c \
                   controller/serve/suites.c controller/serve/suite_runs.c controller/serve/sync.c controller/serve/body.c controller/serve/settings.c \
                   controller/serve/protect.c controller/serve/api_orders.c controller/serve/api_schedules.c controller/serve/api_suites.c
srcs-controller += $(wildcard controller/serve/*.c)
$(BUILD)/controller/serve/assets.o: controller/serve/schemas.json
srcs-controller += controller/serve/page/files.S
$(BUILD)/controller/serve/page/files.o: $(wildcard controller/serve/page/*)
