/* Inside injector/: are the limits ones to work with? */
#ifndef PERTURB_INJECTOR_LIMITS_H
#define PERTURB_INJECTOR_LIMITS_H

#include "injector/injector.h"

enum { LOOPS_MAX = 64 };

bool limits_are_sound(const struct injector_limits *limits);

#endif
