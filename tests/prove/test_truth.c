/* time-limit: 900
 * Physical truth, twenty runs: the reported convergence lies within two bins of it in nineteen. */
#include "tests/support/kill_ordeal.h"
#include "tests/support/truth_ordeal.h"

int main(void)
{
    return truth_ordeals(20, 19, 3, ordeal_seed());
}
