srcs-controller += \
	controller/estimate/band.c \
	controller/estimate/baseline.c \
	controller/estimate/bootstrap.c \
	controller/estimate/change.c \
	controller/estimate/combine.c \
	controller/estimate/compare.c \
	controller/estimate/control.c \
	controller/estimate/counts.c \
	controller/estimate/edge.c \
	controller/estimate/effects.c \
	controller/estimate/estimate.c \
	controller/estimate/excursion.c \
	controller/estimate/hold.c \
	controller/estimate/isotonic.c \
	controller/estimate/knee.c \
	controller/estimate/loss.c \
	controller/estimate/measure.c \
	controller/estimate/relax.c \
	controller/estimate/series.c \
	controller/estimate/stats.c \
	controller/estimate/survival.c \
	controller/estimate/tail.c \
	controller/estimate/view.c
