/* Files taken into the program at build time (assets.S, module.mk). Not NUL-terminated. */
#ifndef PERTURB_REPORT_ASSETS_H
#define PERTURB_REPORT_ASSETS_H

extern const char asset_charts_js[], asset_charts_js_end[];   /* the system's dygraphs */
extern const char asset_charts_css[], asset_charts_css_end[];
extern const char asset_report_js[], asset_report_js_end[];   /* ours */
extern const char asset_report_css[], asset_report_css_end[];
extern const char asset_policy[], asset_policy_end[];         /* Content-Security-Policy that allows exactly the files above */

#endif
