# What all of the controller writes with.
srcs-controller += controller/base/json.c controller/base/digest.c
