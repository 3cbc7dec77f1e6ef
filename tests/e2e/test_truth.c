/* Physical truth, three runs. The long form is in tests/prove. */
#include "tests/support/kill_ordeal.h"
#include "tests/support/truth_ordeal.h"

int main(void)
{
    return truth_ordeals(3, 3, 3, ordeal_seed());
}
