srcs-controller += $(wildcard controller/serve/*/*.c) controller/serve/http/assets.S controller/serve/page/files.S

$(BUILD)/controller/serve/http/assets.o: controller/serve/http/schemas.json
$(BUILD)/controller/serve/page/files.o: $(wildcard controller/serve/page/*)
