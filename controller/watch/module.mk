srcs-controller += controller/watch/state.c controller/watch/screen.c controller/watch/veil.c controller/watch/feed.c
