/* A handful of kills: every way to strike a run once, and one more. The long form is tests/prove. */
#include "tests/support/kill_ordeal.h"

int main(void)
{
    return kill_ordeals(6, 3, ordeal_seed());
}
