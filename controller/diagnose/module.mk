srcs-controller += controller/diagnose/go_dump.c controller/diagnose/go_judge.c controller/diagnose/go_show.c controller/diagnose/locks_show.c
