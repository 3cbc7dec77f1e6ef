/* Which functions carry out which stream fault: expanded from the fault table, so that a row without functions does not link. */
#include "injector/stream.h"

#define OPS_LAYER_STREAM(name) extern const struct stream_ops stream_##name;
#define OPS_LAYER_DATAGRAM(name)
#define OPS_LAYER_CALL(name)
#define OPS_LAYER_HOST(name)
#define FAULT(layer, name, ...) OPS_LAYER_##layer(name)
#include "scenarios/vocab/faults.def"
#undef OPS_LAYER_STREAM
#undef OPS_LAYER_DATAGRAM
#undef OPS_LAYER_CALL
#undef OPS_LAYER_HOST

#define OPS_LAYER_STREAM(name) [FAULT_STREAM_##name] = &stream_##name,
#define OPS_LAYER_DATAGRAM(name)
#define OPS_LAYER_CALL(name)
#define OPS_LAYER_HOST(name)
const struct stream_ops *const stream_registry[FAULT_COUNT] = {
#define FAULT(layer, name, ...) OPS_LAYER_##layer(name)
#include "scenarios/vocab/faults.def"
};
