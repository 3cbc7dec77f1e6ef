/* Inside the tables of keys (keys*.c): how a row is written. */
#ifndef PERTURB_PLAYBOOK_KEYS_H
#define PERTURB_PLAYBOOK_KEYS_H

#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/section.h"

#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define DAY (86400 * SECOND)

#define AT(type, member) .offset = offsetof(struct type, member)
#define KEYS(array) .keys = array, .key_count = ARRAY_SIZE(array)
#define NO_NODE .node_offset = SIZE_MAX
#define NO_NAME .name_offset = SIZE_MAX

/* KEY_VALUE with its unit and range. */
#define VALUE(unit_name, low, high, start) .type = KEY_VALUE, .unit = unit_name, .minimum = low, .maximum = high, .initial = start

extern const struct section_desc probe_section; /* keys_probe.c */
extern const struct section_desc slo_section, metastability_section, ramp_section, knee_section; /* keys_ramp.c */
extern const struct section_desc gameday_section; /* keys_gameday.c */
extern const struct section_desc load_section;  /* keys_load.c */

#endif
