/* What a process whose main business is to be in time asks of the scheduler. */
#ifndef PERTURB_SCENARIOS_PRIORITY_H
#define PERTURB_SCENARIOS_PRIORITY_H

/* For the calling thread, and those and the processes that it makes from then on: niceness -10 and slices of 0.1 ms, as far as kernel and
 * user's rights go. A thread in another class than SCHED_OTHER is left alone. */
void priority_raise(void);

#endif
