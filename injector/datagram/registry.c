/* Which functions carry out which datagram fault: expanded from the fault table, so that a row without functions does not link. */
#include "injector/datagram/datagram.h"

#define OPS_LAYER_STREAM(name)
#define OPS_LAYER_DATAGRAM(name) extern const struct datagram_ops datagram_##name;
#define OPS_LAYER_CALL(name)
#define OPS_LAYER_HOST(name)
#define FAULT(layer, name, ...) OPS_LAYER_##layer(name)
#include "scenarios/vocab/faults.def"
#undef OPS_LAYER_DATAGRAM

#define OPS_LAYER_DATAGRAM(name) [FAULT_DATAGRAM_##name] = &datagram_##name,
const struct datagram_ops *const datagram_registry[FAULT_COUNT] = {
#define FAULT(layer, name, ...) OPS_LAYER_##layer(name)
#include "scenarios/vocab/faults.def"
};
