srcs-controller += controller/history/groups.c controller/history/trend.c controller/history/compare.c
