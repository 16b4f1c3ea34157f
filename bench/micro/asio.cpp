// Asio in process: steady_timer, post within the thread and across threads. Concurrency hint
// UNSAFE where one thread is at work, the default where two meet.
#include "../asio_of_choice.h"
#include "micro.h"

#include <csignal>
#include <memory>
#include <vector>

using clock_type = asio::steady_timer::clock_type;
using milliseconds = std::chrono::milliseconds;

namespace
{

using guard = asio::executor_work_guard<asio::io_context::executor_type>;

std::vector<std::unique_ptr<asio::steady_timer>>
timers_open(asio::io_context &context, std::size_t count)
{
    std::vector<std::unique_ptr<asio::steady_timer>> timers;

    timers.reserve(count);
    for (std::size_t i = 0; i < count; i++)
        timers.push_back(std::make_unique<asio::steady_timer>(context));
    return timers;
}

template <typename Timers>
void
timers_insert(Timers &timers)
{
    std::uint64_t state = MICRO_SEED;
    clock_type::time_point now = clock_type::now();

    for (auto &timer : timers) {
        timer->expires_at(now + milliseconds(micro_timeout_ms(&state)));
        timer->async_wait([](error_code) {});
    }
}

// The cancelled handlers run as part of it: until then their memory is not free.
template <typename Timers>
void
timers_cancel(asio::io_context &context, Timers &timers)
{
    for (auto &timer : timers)
        timer->cancel();
    context.poll();
    context.restart();
}

double
timers_measure(bool is_cancel)
{
    asio::io_context context(asio_unlocked);
    auto timers = timers_open(context, MICRO_TIMERS);
    std::uint64_t start;
    double result;

    timers_insert(timers);
    timers_cancel(context, timers);
    start = micro_now_ns();
    timers_insert(timers);
    if (is_cancel) {
        start = micro_now_ns();
        timers_cancel(context, timers);
    }
    result = micro_per_operation(start, MICRO_TIMERS);
    return result;
}

double
timer_insert()
{
    return timers_measure(false);
}

double
timer_cancel()
{
    return timers_measure(true);
}

// Pushing back cancels the wait; its handler runs every thousandth time and waits again.
double
timer_rearm()
{
    asio::io_context context(asio_unlocked);
    auto timers = timers_open(context, MICRO_IDLE_TIMERS);
    std::uint64_t state = MICRO_SEED;
    clock_type::time_point due = clock_type::now() + milliseconds(30000);
    std::uint64_t start;
    double result;

    for (auto &timer : timers) {
        timer->expires_at(due);
        timer->async_wait([](error_code) {});
    }
    start = micro_now_ns();
    for (std::size_t i = 0; i < MICRO_REARMS; i++) {
        auto &timer = timers[micro_random(&state) % MICRO_IDLE_TIMERS];

        timer->expires_at(due + milliseconds(i / 1000));
        timer->async_wait([](error_code) {});
        if (i % 1000 == 999)
            context.poll();
    }
    result = micro_per_operation(start, MICRO_REARMS);
    return result;
}

double
timer_fire()
{
    asio::io_context context(asio_unlocked);
    auto timers = timers_open(context, MICRO_TIMERS);
    std::uint64_t state = MICRO_SEED;
    std::uint64_t fired = 0;
    std::uint64_t start = micro_now_ns();
    clock_type::time_point now = clock_type::now();

    for (auto &timer : timers) {
        timer->expires_at(now + milliseconds(micro_fire_ms(&state)));
        timer->async_wait([&fired](error_code) { fired++; });
    }
    micro_sleep_until(start + (MICRO_FIRE_AHEAD_MS + MICRO_FIRE_SPAN_MS + 5) * 1000000ull);
    start = micro_now_ns();
    while (fired < MICRO_TIMERS)
        context.poll();
    return micro_per_operation(start, MICRO_TIMERS);
}

double
soon_batch()
{
    asio::io_context context(asio_unlocked);
    guard work = asio::make_work_guard(context);
    std::uint64_t ran = 0;
    std::uint64_t start = 0;

    for (int batch = -1; batch < MICRO_BATCHES; batch++) {
        if (batch == 0)
            start = micro_now_ns();
        for (int i = 0; i < MICRO_BATCH; i++)
            asio::post(context, [&ran] { ran++; });
        context.poll();
    }
    return micro_per_operation(start, static_cast<std::uint64_t>(MICRO_BATCH) * MICRO_BATCHES);
}

struct chain {
    asio::io_context &context;
    std::uint64_t &left;

    void
    operator()() const
    {
        if (--left > 0)
            asio::post(context, *this);
    }
};

double
soon_chain()
{
    asio::io_context context(asio_unlocked);
    std::uint64_t left = MICRO_CHAIN;
    std::uint64_t start = micro_now_ns();

    asio::post(context, chain{ context, left });
    context.run();
    return micro_per_operation(start, MICRO_CHAIN);
}

double
loop_turn()
{
    asio::io_context context(asio_unlocked);
    asio::signal_set signals(context, SIGUSR1); // Keeps the reactor polling.
    std::uint64_t start;

    signals.async_wait([](error_code, int) {});
    start = micro_now_ns();
    for (int i = 0; i < MICRO_TURNS; i++)
        context.poll();
    return micro_per_operation(start, MICRO_TURNS);
}

struct stream {
    asio::io_context context;
    guard work = asio::make_work_guard(context);
    std::uint64_t taken = 0;
};

void
stream_produce(void *arg)
{
    stream *s = static_cast<stream *>(arg);

    for (int i = 0; i < MICRO_POSTS; i++)
        asio::post(s->context, [s] {
            if (++s->taken == MICRO_POSTS)
                s->context.stop();
        });
}

double
wake_stream()
{
    stream s;
    std::uint64_t start = micro_now_ns();
    micro_thread *producer = micro_thread_start(stream_produce, &s);
    double result;

    s.context.run();
    result = micro_per_operation(start, MICRO_POSTS);
    micro_thread_join(producer);
    return result;
}

struct side {
    asio::io_context context;
    guard work = asio::make_work_guard(context);
    side *other = nullptr;
    std::uint64_t left = MICRO_ROUNDTRIPS;
};

void
side_answer(side *s)
{
    side *other = s->other;

    asio::post(other->context, [other] { side_answer(other); });
    if (--s->left == 0)
        s->context.stop();
}

void
side_run(void *arg)
{
    static_cast<side *>(arg)->context.run();
}

double
wake_roundtrip()
{
    side sides[2];
    micro_thread *thread;
    std::uint64_t start;
    double result;

    sides[0].other = &sides[1];
    sides[1].other = &sides[0];
    thread = micro_thread_start(side_run, &sides[1]);
    start = micro_now_ns();
    asio::post(sides[1].context, [&sides] { side_answer(&sides[1]); });
    side_run(&sides[0]);
    result = micro_per_operation(start, MICRO_ROUNDTRIPS);
    micro_thread_join(thread);
    return result;
}

} // namespace

extern "C" const struct micro_suite micro_asio = { "asio",
    { timer_insert, timer_cancel, timer_rearm, timer_fire, soon_batch, soon_chain, loop_turn,
        wake_stream, wake_roundtrip } };
