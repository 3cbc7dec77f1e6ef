srcs-controller += controller/store/files.c controller/store/history.c controller/store/row.c controller/store/findings.c controller/store/earlier.c
