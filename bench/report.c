/*
 * What a run found, as Markdown tables and as JSON. Reads a finished run, changes nothing.
 */
#include "compare.h"

#include <string.h>

/* Enough digits to compare with, and no more. */
static void
print_value(FILE *out, double value)
{
    int digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;

    fprintf(out, "%.*f", digits, value);
}

static bool
is_idle(const struct run *run, size_t workload)
{
    return run->workloads[workload].mode == WORKLOAD_IDLE;
}

static void
table_begin(const struct run *run, size_t first, FILE *out)
{
    fputs("| workload |", out);
    for (size_t c = first; c < run->contestant_count; c++)
        fprintf(out, " %s |", run->contestants[c]->name);
    fputs("\n|---|", out);
    for (size_t c = first; c < run->contestant_count; c++)
        fputs("--:|", out);
    fputc('\n', out);
}

static void
table_of_ratios(const struct run *run, FILE *out)
{
    fputs("### CPU of the floor over theirs\n\n"
          "1.00 is as cheap as raw epoll, more is cheaper. Median over the rounds, and ",
        out);
    fputs(run->rounds < ESTIMATE_ROUNDS_MIN
              ? "all of its range: too few rounds for an interval.\n\n"
              : "its 95% interval.\n\n",
        out);
    table_begin(run, 1, out);
    for (size_t w = 0; w < run->workload_count; w++) {
        if (is_idle(run, w))
            continue;
        fprintf(out, "| %s |", run->workloads[w].name);
        for (size_t c = 1; c < run->contestant_count; c++) {
            struct estimate ratio = run_ratio(run, w, 0, c);

            if (ratio.count == 0)
                fputs(" – |", out);
            else
                fprintf(out, " %.2f (%.2f–%.2f) |", ratio.median, ratio.low, ratio.high);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
}

static void
table_against_rivals(const struct run *run, FILE *out)
{
    size_t rill = 0;

    for (size_t c = 1; c < run->contestant_count; c++)
        if (strcmp(run->contestants[c]->name, "rill") == 0)
            rill = c;
    if (rill == 0)
        return;
    fputs("### CPU of each rival over rill's\n\n"
          "Above 1 rill is the cheaper one by that factor. Paired by round, as above.\n\n"
          "| workload |",
        out);
    for (size_t c = 1; c < run->contestant_count; c++)
        if (c != rill)
            fprintf(out, " %s |", run->contestants[c]->name);
    fputs("\n|---|", out);
    for (size_t c = 1; c < run->contestant_count; c++)
        if (c != rill)
            fputs("--:|", out);
    for (size_t w = 0; w < run->workload_count; w++) {
        if (is_idle(run, w))
            continue;
        fprintf(out, "\n| %s |", run->workloads[w].name);
        for (size_t c = 1; c < run->contestant_count; c++) {
            struct estimate ratio = run_ratio(run, w, c, rill);

            if (c != rill && ratio.count == 0)
                fputs(" – |", out);
            else if (c != rill)
                fprintf(out, " %.2f (%.2f–%.2f) |", ratio.median, ratio.low, ratio.high);
        }
    }
    fputs("\n\n", out);
}

static void
cell_of_metric(
    const struct run *run, size_t workload, size_t contestant, enum metric metric, FILE *out)
{
    struct estimate value = run_estimate(run, workload, contestant, metric);

    if (value.count == 0)
        fputs("–", out);
    else
        print_value(out, value.median);
}

static void
table_of_metric(const struct run *run, const char *title, enum metric metric, FILE *out)
{
    fprintf(out, "### %s\n\n", title);
    table_begin(run, 0, out);
    for (size_t w = 0; w < run->workload_count; w++) {
        if (is_idle(run, w) != (metric == METRIC_IDLE_KIB))
            continue;
        fprintf(out, "| %s |", run->workloads[w].name);
        for (size_t c = 0; c < run->contestant_count; c++) {
            fputc(' ', out);
            cell_of_metric(run, w, c, metric, out);
            fputs(" |", out);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
}

static void
table_of_latency(const struct run *run, FILE *out)
{
    fputs("### Latency, µs: p50 / p99 / p99.9\n\n", out);
    table_begin(run, 0, out);
    for (size_t w = 0; w < run->workload_count; w++) {
        if (is_idle(run, w))
            continue;
        fprintf(out, "| %s |", run->workloads[w].name);
        for (size_t c = 0; c < run->contestant_count; c++) {
            fputc(' ', out);
            cell_of_metric(run, w, c, METRIC_P50_US, out);
            fputs(" / ", out);
            cell_of_metric(run, w, c, METRIC_P99_US, out);
            fputs(" / ", out);
            cell_of_metric(run, w, c, METRIC_P999_US, out);
            fputs(" |", out);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
}

static void
line_of_versions(const struct run *run, FILE *out)
{
    const char *between = "Linked: ";

    for (size_t c = 1; c < run->contestant_count; c++) {
        bool told = run->versions[c][0] == '\0';

        for (size_t before = 0; before < c; before++)
            told |= strcmp(run->versions[c], run->versions[before]) == 0;
        if (told)
            continue;
        fprintf(out, "%s%s", between, run->versions[c]);
        between = ", ";
    }
    fputs(between[0] == ',' ? ".\n\n" : "", out);
}

void
report_markdown(const struct run *run, FILE *out)
{
    bool any_busy = false;
    bool any_idle = false;

    for (size_t w = 0; w < run->workload_count; w++) {
        any_busy |= !is_idle(run, w);
        any_idle |= is_idle(run, w);
    }
    fprintf(out,
        "%zu rounds of %g s, taken in turns of %zu slices; server on core %d, load generator on "
        "core %d%s; %zu cells failed.\n\n",
        run->rounds, run->seconds, run->slices, run->server_core, run->load_core,
        run->realtime ? ", both in SCHED_RR" : "", run->failures);
    line_of_versions(run, out);
    if (any_busy) {
        table_of_ratios(run, out);
        table_against_rivals(run, out);
        table_of_metric(run, "Server CPU per operation, µs", METRIC_CPU_US, out);
        table_of_metric(run, "Thousand operations a second", METRIC_RATE_KOPS, out);
        table_of_latency(run, out);
    }
    if (any_idle)
        table_of_metric(
            run, "Memory of an idle connection, KiB of the server's PSS", METRIC_IDLE_KIB, out);
}

static void
json_cell(const struct cell *cell, FILE *out)
{
    if (!cell->valid)
        fputs("null", out);
    else if (cell->ops == 0)
        fprintf(out, "{\"idle_bytes\": %.1f}", cell->idle_bytes);
    else
        fprintf(out,
            "{\"ops\": %llu, \"ns\": %llu, \"cpu_ns\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu, "
            "\"p999_ns\": %llu}",
            (unsigned long long)cell->ops, (unsigned long long)cell->ns,
            (unsigned long long)cell->cpu_ns, (unsigned long long)cell->p50_ns,
            (unsigned long long)cell->p99_ns, (unsigned long long)cell->p999_ns);
}

/* Names and versions hold letters, digits, dots, blanks and dashes only: nothing to escape. */
void
report_json(const struct run *run, FILE *out)
{
    fprintf(out, "{\n  \"rounds\": %zu, \"seconds\": %g, \"realtime\": %s, \"failures\": %zu,\n",
        run->rounds, run->seconds, run->realtime ? "true" : "false", run->failures);
    fputs("  \"cells\": [", out);
    for (size_t w = 0; w < run->workload_count; w++)
        for (size_t c = 0; c < run->contestant_count; c++) {
            fprintf(out,
                "%s\n    {\"workload\": \"%s\", \"contestant\": \"%s\", \"version\": \"%s\", "
                "\"rounds\": [",
                w + c == 0 ? "" : ",", run->workloads[w].name, run->contestants[c]->name,
                run->versions[c]);
            for (size_t round = 0; round < run->rounds; round++) {
                fputs(round == 0 ? "" : ", ", out);
                json_cell(run_cell(run, w, c, round), out);
            }
            fputs("]}", out);
        }
    fputs("\n  ]\n}\n", out);
}
