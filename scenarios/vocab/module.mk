srcs-scenarios += scenarios/vocab/fault.c scenarios/vocab/plan.c scenarios/vocab/decide.c scenarios/vocab/address.c \
                  scenarios/vocab/errnos.c scenarios/vocab/event.c scenarios/vocab/message.c
