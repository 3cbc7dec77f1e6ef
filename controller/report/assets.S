/* Takes the page's scripts and styles into the program as they are on disk. */
#define ASSET(name, file)          \
    .global name;                  \
    .hidden name;                  \
    .global name##_end;            \
    .hidden name##_end;            \
    .balign 16;                    \
name:                              \
    .incbin file;                  \
name##_end:                        \
    .byte 0

    .section .rodata
ASSET(asset_charts_js, "controller/report/charts.js")
ASSET(asset_charts_css, "controller/report/charts.css")
ASSET(asset_report_js, "controller/report/report.js")
ASSET(asset_report_css, "controller/report/report.css")
ASSET(asset_policy, "controller/report/policy.txt")

    .section .note.GNU-stack, "", @progbits
