/* A result document as a row of the history. */
#include "controller/store/store.h"

#include "controller/report/doc.h"
#include "controller/report/summary.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

enum { PINS_BYTES_MAX = 1 << 20 };

static const char *text_or_null(const cJSON *object, const char *key)
{
    const char *text = doc_text(object, key);

    return text[0] ? text : NULL;
}

/* Everything that must agree before two convergence times may be compared (DESIGN section 8), written out and hashed. */
static int hash_pins(const cJSON *result, char **ret_hash)
{
    const cJSON *convergence = doc_get(result, "convergence"), *item;
    struct buf pins;
    bool failed;

    buf_init(&pins, PINS_BYTES_MAX);
    buf_printf(&pins, "rigour %s\nband %.9g\nhold %.9g\nbin %.9g\n", doc_text(doc_get(result, "run"), "rigour"),
               doc_number(convergence, "band"), doc_number(convergence, "hold_s"), doc_number(convergence, "base_bin_s"));
    cJSON_ArrayForEach(item, doc_list(result, "loads"))
        buf_printf(&pins, "load %s %.9g%s%s%s%s\n", doc_text(item, "name"), doc_number(item, "rate_per_s"),
                   doc_get(item, "arrival") ? " " : "", doc_get(item, "arrival") ? doc_text(item, "arrival") : "",
                   doc_get(item, "plan_hash") ? " " : "", doc_get(item, "plan_hash") ? doc_text(item, "plan_hash") : "");
    cJSON_ArrayForEach(item, doc_list(result, "signals"))
        if (doc_true(item, "deciding"))
            buf_printf(&pins, "signal %s\n", doc_text(item, "signal"));
    failed = pins.failed || asprintf(ret_hash, "%016" PRIx64, rng_hash(pins.data)) < 0;
    buf_done(&pins);
    return failed ? -ENOMEM : 0;
}

int store_run_from_result(const cJSON *result, const char *directory, struct store_run *ret_run)
{
    const cJSON *run = doc_get(result, "run"), *convergence = doc_get(result, "convergence"), *signal = summary_signal(result);
    double status = doc_number(doc_get(result, "verdict"), "status"), loss_s = doc_number(signal, "loss_to_hold_s");
    char *hash;

    if (hash_pins(result, &hash) < 0)
        return -ENOMEM;
    *ret_run = (struct store_run){
        .id = text_or_null(run, "id"),
        .playbook = text_or_null(run, "playbook"),
        .playbook_hash = text_or_null(run, "playbook_hash"),
        .pins_hash = hash,
        .title = text_or_null(run, "title"),
        .service = text_or_null(run, "service"),
        .rigour = text_or_null(run, "rigour"),
        .seed = text_or_null(run, "seed"),
        .started = text_or_null(run, "started"),
        .verdict = text_or_null(doc_get(result, "verdict"), "verdict"),
        .directory = directory ? directory : text_or_null(run, "directory"),
        .status = status >= 0 && status <= 255 ? (int)status : -1,
        .duration_s = doc_number(run, "duration_s"),
        .convergence_s = doc_number(convergence, "from_release_s"),
        .convergence_low_s = doc_number(convergence, "low_s"),
        .convergence_high_s = doc_number(convergence, "high_s"),
        .observed_s = doc_number(doc_get(result, "instants_s"), "end") - doc_number(doc_get(result, "instants_s"), "released"),
        .series = text_or_null(run, "playbook_path"),
        .batch = text_or_null(run, "batch"),
        .loss_s = isfinite(loss_s) ? loss_s : doc_number(signal, "loss_to_end_s"),
        .storage = hash,
    };
    return 0;
}
