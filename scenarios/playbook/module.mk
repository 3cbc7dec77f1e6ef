srcs-scenarios += scenarios/playbook/value.c scenarios/playbook/spec.c scenarios/playbook/node.c scenarios/playbook/yaml.c \
                  scenarios/playbook/json.c
srcs-scenarios += scenarios/playbook/variables.c scenarios/playbook/section.c scenarios/playbook/keys.c scenarios/playbook/playbook.c
srcs-scenarios += scenarios/playbook/spec_print.c scenarios/playbook/spec_errors.c scenarios/playbook/check_signals.c scenarios/playbook/check_things.c scenarios/playbook/check_method.c
srcs-scenarios += scenarios/playbook/check_capture.c
srcs-scenarios += scenarios/playbook/check_host.c
srcs-scenarios += scenarios/playbook/keys_probe.c scenarios/playbook/check_probes.c
srcs-scenarios += scenarios/playbook/keys_gameday.c
srcs-scenarios += scenarios/playbook/keys_ramp.c scenarios/playbook/check_ramp.c
srcs-scenarios += scenarios/playbook/keys_load.c scenarios/playbook/check_loads.c
