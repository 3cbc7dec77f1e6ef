/* datagram.loss: datagrams vanish, by one of netem's models (tc-netem(8); S. Salsano, F. Ludovici, A. Ordine, "Definition of a
 * general and intuitive loss model for packet networks", 2009). In the long run the share lost is
 *
 *   random    p. With correlation c runs of losses are 1 / ((1 - c) (1 - p)) long in the mean
 *   gemodel   (k1 r + h1 p) / (p + r), k1 and h1 being 1-k and 1-h. Bad spells are 1 / r datagrams long in the mean
 *   state     pi3 + pi4 of  pi1 = p23 p31 / d, pi2 = p13 p32 / d, pi3 = p13 p23 / d, pi4 = p14 p23 p31 / d,
 *             d = p13 p23 + p13 p32 + p23 p31 + p14 p23 p31
 *
 * 1. gemodel: the state in which a datagram finds the chain decides its fate, then the chain moves.
 * 2. state: the chain moves, and the state that it comes to is the datagram's fate.
 * 3. The chain begins good, in the rule's first datagram. */
#include "injector/datagram/datagram.h"

enum model { MODEL_RANDOM, MODEL_GEMODEL, MODEL_STATE };
enum state { STATE_GOOD, STATE_GOOD_IN_BURST, STATE_LOST_IN_BURST, STATE_LOST_ALONE }; /* netem's 1, 2, 3, 4 */

struct loss {
    struct datagram_memory memory;
    bool bad;         /* gemodel */
    enum state state; /* state */
};

static bool gemodel(struct loss *loss, const struct params_DATAGRAM_loss *params, uint64_t draw)
{
    bool lost = rng_chance(draw, (uint32_t)(loss->bad ? params->h1 : params->k1));

    if (rng_chance(rng_mix(draw, 1), (uint32_t)(loss->bad ? params->r : params->p)))
        loss->bad = !loss->bad;
    return lost;
}

static enum state next_state(enum state state, const struct params_DATAGRAM_loss *params, uint64_t draw)
{
    int64_t at = (int64_t)rng_below(draw, PPM);

    switch (state) {
    case STATE_GOOD:
        return at < params->p13 ? STATE_LOST_IN_BURST : at < params->p13 + params->p14 ? STATE_LOST_ALONE : STATE_GOOD;
    case STATE_GOOD_IN_BURST:
        return at < params->p23 ? STATE_LOST_IN_BURST : STATE_GOOD_IN_BURST;
    case STATE_LOST_IN_BURST:
        return at < params->p31 ? STATE_GOOD : at < params->p31 + params->p32 ? STATE_GOOD_IN_BURST : STATE_LOST_IN_BURST;
    default:
        return STATE_GOOD;
    }
}

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_loss *params = &view->params->DATAGRAM_loss;
    struct loss *loss = view->state;

    switch (params->model) {
    case MODEL_GEMODEL:
        ruling->drops = gemodel(loss, params, view->draw);
        break;
    case MODEL_STATE:
        loss->state = next_state(loss->state, params, view->draw);
        ruling->drops = loss->state >= STATE_LOST_IN_BURST;
        break;
    default:
        ruling->drops = rng_chance(datagram_correlate(&loss->memory, view->draw, params->correlation), (uint32_t)params->p);
    }
    ruling->acts = ruling->drops;
}

extern const struct datagram_ops datagram_loss;
const struct datagram_ops datagram_loss = {
    .state_size = sizeof(struct loss),
    .scope_slot = DATAGRAM_SLOT(loss, scope),
    .rule = rule,
};
