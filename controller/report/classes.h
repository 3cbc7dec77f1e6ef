/* Kinds of trouble, in the words of one who does not know our faults: what the overview's columns are.
 *  1. Every fault of the table has a class (a test walks the table); a fault of another version falls under "other". */
#ifndef PERTURB_REPORT_CLASSES_H
#define PERTURB_REPORT_CLASSES_H

#include <stddef.h>

enum { FAULT_CLASSES = 9, FAULT_CLASS_OTHER = FAULT_CLASSES };

/* [FAULT_CLASS_OTHER] is "other". */
extern const char *const fault_class_names[FAULT_CLASSES + 1];

/* The class of a fault by its full name ("stream.latency"), hostile; FAULT_CLASS_OTHER when it is unknown. */
size_t fault_class_of(const char *layer_and_name);

#endif
