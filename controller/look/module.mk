srcs-controller += controller/look/pages.c controller/look/processes.c controller/look/processes_json.c controller/look/doctor.c controller/look/proxies.c
