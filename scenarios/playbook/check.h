/* Inside of the checking of playbooks: what tables of keys cannot say, the references between sections above all. */
#ifndef PERTURB_PLAYBOOK_CHECK_H
#define PERTURB_PLAYBOOK_CHECK_H

#include "scenarios/playbook/playbook.h"

struct checker {
    struct playbook *playbook;
    struct errs *errs;
};

/* Adds an error at `node`; the format takes two texts. Returns -EINVAL. */
int check_refuse(const struct checker *checker, const struct node *node, const char *format, const char *a, const char *b);

/* "no WHAT is named 'x'; there is 'y'", the nearest named. Returns -EINVAL. */
int check_refuse_name(const struct checker *checker, const struct node *node, const char *what, const char *name,
                      const struct section_list *list, size_t size, size_t name_offset);

/* The member, or the map itself where it is absent: a place for an error. */
const struct node *check_member(const struct node *map, const char *key);

/* An item of a named map; NULL when absent. */
const void *check_find(const struct section_list *list, size_t size, size_t name_offset, const char *name);

/* check_signals.c */
int check_bound_text(const struct checker *checker, const struct node *node, const struct signal *signal, const char *key, const char *text,
                     int64_t *ret_value); /* a value of the signal; ABSENT without a text */
void check_hypothesis(const struct checker *checker);
void check_guards(const struct checker *checker);
void check_evidence(const struct checker *checker);
void choose_signals(const struct checker *checker);

/* check_things.c */
void check_targets(const struct checker *checker);
void check_proxies(const struct checker *checker);

/* check_loads.c */
void check_loads(const struct checker *checker);

/* check_probes.c */
void check_probes(const struct checker *checker);
void check_probe_faults(const struct checker *checker); /* once the faults have their names */

/* check_capture.c: of a proxy that has one. */
void check_capture(const struct checker *checker, struct proxy *proxy);

/* check_host.c: what the table cannot say of host faults. The target exists. */
void check_host_target(const struct checker *checker, const struct step *step, const struct target *target);
void check_host_step(const struct checker *checker, const struct step *step);

/* The bits of the words named by a list; others are refused. */
uint32_t check_words(const struct checker *checker, const struct node *node, const char *key, const struct text_list *list, const char *words);

/* check_ramp.c */
void check_controls(const struct checker *checker);
void check_ramp(const struct checker *checker); /* after the method */
void check_metastability(const struct checker *checker);

/* check_method.c */
void check_method(const struct checker *checker);

#endif
