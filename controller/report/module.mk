srcs-controller += controller/report/assets.S controller/report/clean.c controller/report/doc.c controller/report/format.c \
                   controller/report/html.c controller/report/html_charts.c controller/report/html_events.c \
                   controller/report/html_tables.c controller/report/html_timeline.c controller/report/series.c controller/report/summary.c \
                   controller/report/table.c controller/report/text.c controller/report/markdown.c controller/report/junit.c \
                   controller/report/github.c controller/report/journal.c controller/report/extras.c controller/report/classes.c controller/report/overview.c \
                   controller/report/overview_html.c controller/report/overview_markdown.c controller/report/table_more.c \
                   controller/report/html_history.c controller/report/html_recovery.c controller/report/html_edges.c controller/report/render.c controller/report/text_more.c

# The chart library comes from the system at build time and goes into the page as it is, without the pointer to its source map.
dygraphs_dir ?= /usr/share/javascript/dygraphs
report_built := $(BUILD)/controller/report

$(dygraphs_dir)/dygraph.min.js $(dygraphs_dir)/dygraph.min.css:
	$(error missing the chart library $@; on Debian: apt-get install libjs-dygraphs  (or: make deps))

$(report_built)/charts.js: $(dygraphs_dir)/dygraph.min.js
$(report_built)/charts.css: $(dygraphs_dir)/dygraph.min.css
$(report_built)/charts.js $(report_built)/charts.css:
	@mkdir -p $(@D)
	$(call say,EMBED,$<)sed -E 's,/\*# sourceMappingURL=[^ ]* \*/,,; s,^//# sourceMappingURL=.*,,' $< > $@

# The page runs these two scripts and these two styles and nothing else: each is named by its SHA-256 (CSP Level 3).
report_assets := $(report_built)/charts.js controller/report/report.js $(report_built)/charts.css controller/report/report.css
$(report_built)/policy.txt: $(report_assets) controller/report/module.mk
	@mkdir -p $(@D)
	$(call say,EMBED,$@){ \
	  hash() { printf " 'sha256-"; env printf '%b' "$$(sha256sum "$$1" | cut -c1-64 | sed 's/../\\x&/g')" | base64 | tr -d '\n'; printf "'"; }; \
	  printf "default-src 'none'; base-uri 'none'; form-action 'none'; script-src"; \
	  hash $(word 1,$(report_assets)); hash $(word 2,$(report_assets)); \
	  printf '; style-src'; hash $(word 3,$(report_assets)); hash $(word 4,$(report_assets)); } > $@

$(report_built)/assets.o: $(report_assets) $(report_built)/policy.txt
