srcs-controller += controller/ctk/value.c controller/ctk/substitute.c controller/ctk/jsonpath.c controller/ctk/tolerance.c \
                   controller/ctk/provider.c controller/ctk/activity.c controller/ctk/check.c controller/ctk/engine.c
