/* Shapes of jitter: a draw as a number of spreads around a mean, or as a delay out of a table of percentiles. Pure.
 *
 * The shapes are netem's (tc-netem(8); the tables' generators in iproute2's netem/ folder): pareto has shape 3, is moved to mean 0 and
 * scaled by 4/3; paretonormal is a quarter normal, three quarters pareto; all are cut at four spreads, as the tables are. */
#ifndef PERTURB_INJECTOR_SHAPE_H
#define PERTURB_INJECTOR_SHAPE_H

#include <stdint.h>

/* The words of the `distribution` parameters, in their order. */
enum shape { SHAPE_UNIFORM, SHAPE_NORMAL, SHAPE_PARETO, SHAPE_PARETONORMAL, SHAPE_TABLE };

enum { SHAPE_POINTS = 5 }; /* of a table: 50, 90, 99, 99.9, 100 % */

/* -1 to 1 when uniform, else -4 to 4. `shape` is any but SHAPE_TABLE. */
double shape_spreads(int64_t shape, uint64_t draw);

/* The delay, ns, that the draw picks along straight lines from 0 at 0 %. Points left out are 0; behind the last it stays level. */
double shape_from_table(const int64_t points[SHAPE_POINTS], uint64_t draw);

#endif
