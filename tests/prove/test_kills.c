/* time-limit: 900
 * Fifty kills at journal boundaries, event boundaries and random instants: what a run leaves when parts of it die. */
#include "tests/support/kill_ordeal.h"

int main(void)
{
    return kill_ordeals(50, 3, ordeal_seed());
}
