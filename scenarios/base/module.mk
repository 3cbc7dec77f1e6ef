srcs-scenarios += scenarios/base/err.c scenarios/base/buf.c scenarios/base/file.c scenarios/base/rng.c scenarios/base/units.c scenarios/base/utf8.c scenarios/base/histogram.c scenarios/base/shape.c scenarios/base/egress.c scenarios/base/matcher.c
srcs-scenarios += scenarios/base/err.c scenarios/base/buf.c scenarios/base/file.c scenarios/base/rng.c scenarios/base/units.c scenarios/base/utf8.c scenarios/base/histogram.c scenarios/base/shape.c scenarios/base/egress.c
srcs-scenarios += scenarios/base/err.c scenarios/base/buf.c scenarios/base/file.c scenarios/base/rng.c scenarios/base/units.c scenarios/base/utf8.c scenarios/base/histogram.c scenarios/base/shape.c
srcs-scenarios += scenarios/base/priority.c
