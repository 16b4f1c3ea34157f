/*
 * Shrinking: from a run that fails to the few faults that make it fail.
 *
 * Delta debugging over the numbers of the faults that fired: leave out one part after another, keep
 * what still fails, and look at smaller parts when nothing can go any more. It works because a
 * choice does not depend on other choices (choice.c). Each trial is a world of its own. The
 * caller's thread only.
 */
#include "core/driver/sim/internal.h"

#define FAULTS_MAX 65536
#define TRIALS_MAX 10000

typedef struct shrinking {
    rill_sim_options options;
    rill_sim_trial fails;
    void *arg;
    const rill_allocator *allocator;
    uint32_t *now; /* The faults that are known to suffice. */
    size_t count;
    uint32_t *without; /* The same, without a part. */
    uint32_t trials;
} shrinking;

/* Returns 1 when it failed with `faults` alone (NULL: with all): those that fired are in `now`. */
static int
try_with(shrinking *s, const uint32_t *faults, size_t count)
{
    rill_sim *sim;
    size_t fired;
    bool failed;
    int rc;

    s->options.only_faults = faults;
    s->options.only_faults_count = count;
    s->trials++;
    rc = rill_sim_new(&s->options, &sim);
    if (rc < 0)
        return rc;
    failed = s->fails(sim, s->arg);
    fired = rill_sim_fired(sim, NULL, 0);
    if (failed && fired <= FAULTS_MAX)
        s->count = rill_sim_fired(sim, s->now, FAULTS_MAX);
    (void)rill_sim_free(sim); /* Its leaks are the trial's business. */
    if (failed && fired > FAULTS_MAX)
        return RILL_ELIMIT;
    return failed;
}

static size_t
leave_out(const shrinking *s, size_t first, size_t len)
{
    size_t behind = first + len < s->count ? s->count - first - len : 0;

    memcpy(s->without, s->now, first * sizeof(s->now[0]));
    if (behind > 0)
        memcpy(s->without + first, s->now + first + len, behind * sizeof(s->now[0]));
    return first + behind;
}

/* Returns 0 or an error; what is left is in `now`. */
static int
reduce(shrinking *s)
{
    size_t part = (s->count + 1) / 2;

    while (s->count > 0 && s->trials < TRIALS_MAX) {
        bool smaller = false;

        for (size_t first = 0; first < s->count && s->trials < TRIALS_MAX;) {
            size_t count = leave_out(s, first, part);
            int rc = try_with(s, s->without, count);

            if (rc < 0)
                return rc;
            if (rc > 0)
                smaller = true; /* `now` is shorter: the next part has moved here. */
            else
                first += part;
        }
        if (smaller)
            continue;
        if (part <= 1)
            break;
        part = (part + 1) / 2;
    }
    return 0;
}

int
rill_sim_shrink(const rill_sim_options *options, rill_sim_trial fails, void *arg,
    uint32_t *ret_numbers, size_t max, size_t *ret_count)
{
    shrinking s = { .options = RILL_SIM_OPTIONS(), .fails = fails, .arg = arg };
    const size_t bytes = FAULTS_MAX * sizeof(s.now[0]);
    int rc = 0;

    RILL__REQUIRE(ret_count != NULL && (ret_numbers != NULL || max == 0));
    if (options != NULL)
        rc = rill__options_copy(
            NULL, "rill_sim_options", options, options->size, &s.options, sizeof(s.options));
    if (rc < 0)
        return rc;
    if (fails == NULL)
        return RILL_EINVAL;
    s.allocator = s.options.allocator != NULL ? s.options.allocator : &rill__default_allocator;
    s.now = s.allocator->alloc(s.allocator->ctx, bytes, RILL_TAG_SIM);
    s.without = s.allocator->alloc(s.allocator->ctx, bytes, RILL_TAG_SIM);
    rc = s.now == NULL || s.without == NULL
             ? -ENOMEM
             : try_with(&s, s.options.only_faults, s.options.only_faults_count);
    if (rc == 0)
        rc = RILL_ESTATE;
    else if (rc > 0)
        rc = reduce(&s);
    if (rc == 0 && s.count > max)
        rc = RILL_ELIMIT;
    if (rc == 0) {
        *ret_count = s.count;
        if (s.count > 0)
            memcpy(ret_numbers, s.now, s.count * sizeof(ret_numbers[0]));
    }
    if (s.now != NULL)
        s.allocator->free(s.allocator->ctx, s.now, bytes, RILL_TAG_SIM);
    if (s.without != NULL)
        s.allocator->free(s.allocator->ctx, s.without, bytes, RILL_TAG_SIM);
    return rc;
}
