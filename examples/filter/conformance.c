/*
 * Does the throttle keep every promise that a transport makes? The library's battery answers;
 * whoever writes a filter has it for the price of one function that makes a pair.
 */
#include "throttle.h"

#include <rill/conformance.h>
#include <rill/rill.h>

#include <stdio.h>

/* So fast that no byte waits for the clock: the battery expects that a full queue stays full as
 * long as the other side does not read. */
#define RATE UINT64_C(1000000000000000)

static int
make_throttled_pair(rill_loop *loop, const rill_transport_options *options,
    const rill_protocol *protocol_a, void *arg_a, const rill_protocol *protocol_b, void *arg_b,
    void *user)
{
    static rill_transport_options kept; /* One pair at a time. */
    static throttle_config a, b;

    (void)user;
    kept = options != NULL ? *options : RILL_TRANSPORT_OPTIONS();
    a = (throttle_config){ RATE, protocol_a, arg_a, &kept };
    b = (throttle_config){ RATE, protocol_b, arg_b, &kept };
    return rill_create_pair(
        loop, options, &throttle_protocol, &a, &throttle_protocol, &b, NULL, NULL);
}

static void
count(const char *name, rill_conformance_verdict verdict, const char *sentence, void *arg)
{
    int *counts = arg;

    counts[verdict]++;
    if (verdict == RILL_CONFORMANCE_FAILED)
        printf("conformance: %s: %s\n", name, sentence);
}

/* Returns the number of cases that failed, or a negative error. */
int
throttle_conformance(void)
{
    int counts[3] = { 0 }, rc;
    rill_loop *loop;

    /* The battery misuses transports on purpose: their warnings are no news. */
    rc = rill_loop_new(&RILL_LOOP_OPTIONS(.log_level = RILL_LOG_ERROR), &loop);
    if (rc < 0)
        return rc;
    rc = rill_conformance(loop, &RILL_CONFORMANCE_OPTIONS(.make_pair = make_throttled_pair,
                                    .report = count, .report_arg = counts));
    rill_loop_free(loop);
    printf("conformance: %d passed, %d failed, %d do not apply\n", counts[RILL_CONFORMANCE_PASSED],
        counts[RILL_CONFORMANCE_FAILED], counts[RILL_CONFORMANCE_SKIPPED]);
    return rc;
}
