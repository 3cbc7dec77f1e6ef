srcs-controller += controller/gameday/gameday.c controller/gameday/scorecard.c
