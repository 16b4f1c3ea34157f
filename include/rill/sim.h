/*
 * The simulated kernel: run your own server, unchanged, on a virtual clock and an in-memory network
 * that fails on purpose. Experimental until 1.0.
 *
 * A world (rill_sim) has a seed, a clock, hosts and links. Loops made for the driver "sim" live on
 * its hosts; time jumps from event to event, so an hour costs nothing. What the network and the
 * kernel do to them is drawn from the seed: two runs with one seed are the same run, to the byte,
 * whatever the compiler. Every choice is a hash of (seed, kind, object, n-th use), so taking one
 * fault away leaves the others where they were and a failing run can be shrunk.
 *
 *     rill_sim *sim;
 *     rill_loop *loop;
 *     rill_sim_peer *peer;
 *
 *     rill_sim_new(&RILL_SIM_OPTIONS(.seed = 7, .profile = RILL_SIM_SWARM), &sim);
 *     rill_sim_loop_new(sim, NULL, NULL, &loop);
 *     ... rill_create_server(loop, ... port 7000 ...) ...
 *     rill_sim_dial(sim, NULL, "127.0.0.1:7000", &peer);
 *     rill_sim_peer_feed(peer, "ping\r\n", 6);
 *     rill_sim_run_until_idle(sim);
 *     ... rill_sim_peer_take(peer, reply, sizeof(reply)) ...
 *     assert(rill_sim_free(sim) == 0);
 *
 * The pipes of rill_pipe are simulated, too: 64 KiB fit in, or less unless it is calm. FIFOs,
 * terminals and the standard streams are not.
 *
 * A program that knows nothing of this runs in a world of its own with RILL_DRIVER=sim in its
 * environment. One thread drives a world with all its loops. Functions that return int return 0 or
 * an error as in <rill/error.h>; host names and addresses are copied. Where a host is named, NULL
 * is "local".
 *
 * Not part of <rill/rill.h>: include it where it is needed.
 */
#ifndef RILL_SIM_H
#define RILL_SIM_H

#include <rill/addr.h>
#include <rill/base.h>
#include <rill/error.h>
#include <rill/loop.h>
#include <rill/memory.h>

RILL_BEGIN

/* Which faults there are. */
typedef enum rill_sim_profile {
    RILL_SIM_PROFILE_DEFAULT, /* $RILL_SIM_PROFILE: "calm", "swarm" or "hostile"; else CALM. */
    RILL_SIM_CALM,            /* None; the network takes no time. */
    RILL_SIM_SWARM,           /* Each kind is in the run with probability 1/2, its rate is drawn. */
    RILL_SIM_HOSTILE          /* All kinds at their highest rates. */
} rill_sim_profile;

/* What kind of driver the loops believe to have. */
typedef enum rill_sim_personality {
    RILL_SIM_PERSONALITY_DEFAULT, /* $RILL_SIM_PERSONALITY, in words; else by the seed. */
    RILL_SIM_READINESS,           /* As epoll: records announce, a take reads from the socket. */
    RILL_SIM_COMPLETION           /* As io_uring: bytes wait in the driver, sends complete later. */
} rill_sim_personality;

/* X(NAME, highest rate in a million uses, name): the kinds of faults, and how often they fire. */
#define RILL_SIM_FAULT_LIST(X)                                                                \
    X(SOCKET_EMFILE, 60000, "socket_emfile") /* Making a socket: each of the four errors. */  \
    X(SOCKET_ENFILE, 30000, "socket_enfile")                                                  \
    X(SOCKET_ENOBUFS, 30000, "socket_enobufs")                                                \
    X(SOCKET_ENOMEM, 30000, "socket_enomem")                                                  \
    X(ATTACH_ENOMEM, 15000, "attach_enomem")  /* Registering a descriptor with the driver. */ \
    X(ACCEPT_EMFILE, 120000, "accept_emfile") /* The connection stays in the backlog... */    \
    X(ACCEPT_ENFILE, 60000, "accept_enfile")                                                  \
    X(ACCEPT_ENOBUFS, 60000, "accept_enobufs")                                                \
    X(ACCEPT_ENOMEM, 60000, "accept_enomem")                                                  \
    X(ACCEPT_EINTR, 120000, "accept_eintr")                                                   \
    X(ACCEPT_ECONNABORTED, 60000, "accept_econnaborted") /* ...or is lost with these. */      \
    X(ACCEPT_EPROTO, 60000, "accept_eproto")                                                  \
    X(ACCEPT_EPERM, 60000, "accept_eperm")                                                    \
    X(RECV_SHORT, 500000, "recv_short") /* Fewer bytes than there are; any number. */         \
    X(RECV_AGAIN, 125000, "recv_again") /* EAGAIN (or EINTR), though there are bytes. */      \
    X(SEND_SHORT, 500000, "send_short")                                                       \
    X(SEND_AGAIN, 250000, "send_again")                                                       \
    X(SPURIOUS_READ, 125000, "spurious_read") /* A record, and nothing there. */              \
    X(SPURIOUS_WRITE, 125000, "spurious_write")                                               \
    X(READY_ORDER, 250000, "ready_order")    /* Announced before what was ready earlier. */   \
    X(SEND_LATE, 500000, "send_late")        /* Completion: a send takes up to 5 ms. */       \
    X(CANCEL_LOSES, 500000, "cancel_loses")  /* Completion: a cancel comes too late. */       \
    X(SLICE_LATE, 500000, "slice_late")      /* Completion: bytes are taken after a pause. */ \
    X(CLOSE_LATE, 250000, "close_late")      /* Completion: the close takes up to 5 ms. */    \
    X(DELAY, 125000, "delay")                /* A segment takes up to 200 ms more. */         \
    X(SPLIT, 250000, "split")                /* A segment is cut at any byte. */              \
    X(LOSS, 30000, "loss")                   /* A segment is sent again: 200 ms, doubling. */ \
    X(STALL, 4000, "stall")                  /* A direction stands still for up to 5 s. */    \
    X(ZERO_WINDOW, 30000, "zero_window")     /* The sender hears of room up to 3 s late. */   \
    X(RESET, 60000, "reset")                 /* A connection is reset at some byte. */        \
    X(CONNECT_RESET, 30000, "connect_reset") /* Reset as soon as it is made. */               \
    X(CONNECT_REFUSED, 30000, "connect_refused")                                              \
    X(SYN_LOSS, 60000, "syn_loss")         /* Tried again after 1 s, 2 s, 4 s... */           \
    X(BACKLOG_FULL, 30000, "backlog_full") /* As if the backlog were full; the same. */       \
    X(ALLOCATION, 2000, "allocation")      /* rill_sim_allocator returns NULL. */             \
    X(SPAWN_EAGAIN, 30000, "spawn_eagain") /* Starting a child: each of the three errors. */  \
    X(SPAWN_ENOMEM, 30000, "spawn_enomem")                                                    \
    X(SPAWN_EMFILE, 30000, "spawn_emfile")                                                    \
    X(CHILD_KILLED, 60000, "child_killed")       /* By SIGKILL, in its first 50 ms. */        \
    X(CHILD_DEAF, 250000, "child_deaf")          /* It outlives a SIGTERM. */                 \
    X(CHILD_UNWATCHED, 60000, "child_unwatched") /* Its end is found by asking alone. */      \
    X(CHILD_HOLDS, 125000, "child_holds")        /* Its pipes outlive it by up to 5 s. */

#define RILL_SIM_FAULT_ENUM_(name, rate, text) RILL_SIM_FAULT_##name,
typedef enum rill_sim_fault {
    RILL_SIM_FAULT_LIST(RILL_SIM_FAULT_ENUM_) RILL_SIM_FAULT_COUNT
} rill_sim_fault;
#undef RILL_SIM_FAULT_ENUM_

typedef struct rill_sim_options {
    size_t size;   /* Set by RILL_SIM_OPTIONS or rill_sim_options_default. */
    uint64_t seed; /* 0: $RILL_SIM_SEED, else 1. */
    rill_sim_profile profile;
    rill_sim_personality personality;
    const rill_allocator *allocator; /* Under the world and its loops; NULL: malloc. */
    size_t recv_bytes_max;           /* The most bytes that one receive gives; 0: no limit. */
    size_t send_bytes_max;           /* The most bytes that one send takes; 0: no limit. */
    int recv_buffer;                 /* Room in a TCP socket's receive buffer. */
    int send_buffer;                 /* And in its send buffer. Defaults: 128 KiB
                                         when calm, else drawn from 4 to 256 KiB. */
    size_t descriptors_max;          /* Open ones of each host, then EMFILE; default 65536. */
    uint64_t fail_allocation;        /* The n-th call of rill_sim_allocator fails, from 1. */
    uint64_t fail_allocations_from;  /* This one and all after it fail. */
    const uint32_t *only_faults;     /* Fire these alone (see rill_sim_fired); copied. */
    size_t only_faults_count;        /* NULL, 0: $RILL_SIM_FAULTS, "only:1f03,88c1". */
    uint64_t turns_max;              /* Then a run gives up; default 10 million. */
} rill_sim_options;

#ifndef __cplusplus
#define RILL_SIM_OPTIONS(...) ((rill_sim_options){ .size = sizeof(rill_sim_options), __VA_ARGS__ })
#endif

/* All defaults, for C++ and for filling in by hand. */
static inline rill_sim_options
rill_sim_options_default(void)
{
#ifdef __cplusplus
    rill_sim_options options = {};
#else
    rill_sim_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/* ---- the world ---- */

/* Make a world with one host: "local", at 10.255.255.254 and fdff::1. `options` may be NULL for the
 * defaults. Returns 0; RILL_EINVAL (no size, unknown newer options, values out of range);
 * -ENOMEM. */
RILL_API int rill_sim_new(const rill_sim_options *options, rill_sim **ret_sim);

/*
 * End a world; NULL is ignored. Loops of rill_sim_loop_new that are still there are freed first, as
 * by rill_loop_free; loops that you made by rill_loop_new must be gone (or it aborts with a
 * message).
 *
 * Returns the number of leaks: what rill_loop_free found alive in those loops, descriptors that
 * were never closed, allocations of rill_sim_allocator that were never freed. Peers do not count.
 */
RILL_API size_t rill_sim_free(rill_sim *sim);

/*
 * Add a host, or another address to a host of that name. `ip` is a numeric IPv4 or IPv6 address, or
 * NULL: 10.0.0.1 and so on, one after another. Every host has 127.0.0.0/8 and ::1, and a file
 * system for Unix sockets, of its own. Names are 1 to 31 bytes, without ':' and '/'. Returns 0;
 * RILL_EINVAL; RILL_EADDRESS; -EADDRINUSE when some host has the address; RILL_ELIMIT above 8
 * addresses; -ENOMEM.
 */
RILL_API int rill_sim_host(rill_sim *sim, const char *name, const char *ip);

/*
 * Make a loop on a host (NULL: "local"); rill_sim_free frees it if you do not. It allocates by
 * rill_sim_allocator(). `options` may be NULL; its driver, sim and sim_host are overwritten, its
 * allocator is kept. Returns as rill_loop_new; RILL_EINVAL for an unknown host.
 */
RILL_API int rill_sim_loop_new(
    rill_sim *sim, const char *host, const rill_loop_options *options, rill_loop **ret_loop);

/* The allocator to give to loops of this world: it counts, and it fails as the options and
 * RILL_SIM_FAULT_ALLOCATION say. Valid until rill_sim_free. For the world's thread: messages from
 * other threads are not simulated, and would be counted in no certain order. */
RILL_API const rill_allocator *rill_sim_allocator(rill_sim *sim);

/* How often rill_sim_allocator has been asked for memory so far: the bound of a sweep over
 * fail_allocation. */
RILL_API uint64_t rill_sim_allocations(const rill_sim *sim);

/* The one given or taken from the environment: never 0. */
RILL_API uint64_t rill_sim_seed(const rill_sim *sim);

/* The one drawn or asked for: never DEFAULT. */
RILL_API rill_sim_personality rill_sim_get_personality(const rill_sim *sim);

/* Limit the open descriptors of a host, from now on; 0 goes back to the option. Returns 0, or
 * RILL_EINVAL for an unknown host. */
RILL_API int rill_sim_set_descriptors_max(rill_sim *sim, const char *host, size_t max);

/* Open descriptors of a host now; 0 for an unknown one. */
RILL_API size_t rill_sim_descriptors(const rill_sim *sim, const char *host);

/* Put a file that is no socket at a path of the host, so that binding there fails. Returns 0;
 * RILL_EINVAL for an unknown host or what is no path; -EEXIST; -ENOMEM. */
RILL_API int rill_sim_put_file(rill_sim *sim, const char *host, const char *path);

/* ---- running ---- */

/*
 * All of these run every loop of the world, in an order that depends on the seed, and move the
 * clock. They return 0 unless they say more, and: RILL_EBUSY inside a callback of a loop or of the
 * world; RILL_ELIMIT after turns_max turns of loops; an error of rill_loop_step (RILL_EFORK).
 *
 * A world with a single loop may be driven by rill_loop_run() as well; with several, that returns
 * RILL_EBUSY where it would have to wait. The clock stands still while callbacks run; only when
 * loops have turned 1024 times at one instant it moves by 10 us a turn, so that programs which
 * never sleep get on.
 */

/* The clock of all its loops. */
RILL_API rill_ns rill_sim_now(const rill_sim *sim);

/* One turn of every loop that has something to run, or the next event. Returns 1, or 0 when there
 * was neither and time would have to pass for a timer alone. */
RILL_API int rill_sim_step(rill_sim *sim);

/* Until `duration` has passed; a negative one is 0. Timers fire exactly at their deadlines. */
RILL_API int rill_sim_run_for(rill_sim *sim, rill_ns duration);

/* Until no loop has anything to run and nothing is under way in the network or scheduled by
 * rill_sim_call_later. Timers of loops that are due on the way fire; later ones are left. */
RILL_API int rill_sim_run_until_idle(rill_sim *sim);

typedef bool (*rill_sim_predicate)(void *arg);

/* Until `predicate(arg)` is true, looked at after every turn. Returns 0; RILL_ETIMEDOUT when
 * `limit` has passed (RILL_NEVER: no limit); RILL_EINVAL for another negative one or without
 * `predicate`; RILL_EDEADLK when nothing can ever happen any more. */
RILL_API int
rill_sim_run_until(rill_sim *sim, rill_sim_predicate predicate, void *arg, rill_ns limit);

/* Call `fn(arg)` once after `delay`, outside of all loops: the script of a test. It may use peers,
 * links and faults, not run the world. Returns 0; RILL_EINVAL without `fn` or with a negative
 * delay; -ENOMEM. */
RILL_API int rill_sim_call_later(rill_sim *sim, rill_ns delay, rill_callback fn, void *arg);

/* ---- the network ---- */

typedef struct rill_sim_link_options {
    size_t size;        /* Set by RILL_SIM_LINK_OPTIONS or rill_sim_link_options_default. */
    rill_ns latency;    /* One way. */
    rill_ns jitter;     /* Up to this is added to each segment; the order of bytes stays. */
    uint64_t bandwidth; /* Bytes a second, one way; 0: no limit. */
    uint32_t loss;      /* Segments of a million that have to be sent again. */
} rill_sim_link_options;

#ifndef __cplusplus
#define RILL_SIM_LINK_OPTIONS(...) \
    ((rill_sim_link_options){ .size = sizeof(rill_sim_link_options), __VA_ARGS__ })
#endif

/* All defaults: no latency, no limit, no loss. */
static inline rill_sim_link_options
rill_sim_link_options_default(void)
{
#ifdef __cplusplus
    rill_sim_link_options options = {};
#else
    rill_sim_link_options options = { 0 };
#endif
    options.size = sizeof(options);
    return options;
}

/* Set the link between two hosts (or of one host to itself), both directions. It holds for what is
 * sent from now on, in place of what the profile drew. `options` may be NULL for all defaults.
 * Returns 0; RILL_EINVAL (unknown hosts, no size, values out of range); -ENOMEM. */
RILL_API int
rill_sim_link(rill_sim *sim, const char *a, const char *b, const rill_sim_link_options *options);

/* Cut what goes from `a` to `b`, and with `both` also the other way: nothing arrives, senders try
 * again by TCP's timers, and give up by them. Lifting ends it, in both directions.
 * Returns 0; RILL_EINVAL for unknown hosts; -ENOMEM. */
RILL_API int rill_sim_partition(rill_sim *sim, const char *a, const char *b, bool both);
RILL_API int rill_sim_lift(rill_sim *sim, const char *a, const char *b);

/* ---- faults ---- */

/* "recv_short" and so on; "unknown". Static text. Any thread. */
RILL_API const char *rill_sim_fault_name(rill_sim_fault kind);

/* Let this kind fire with `rate` in a million uses from now on, whatever the profile says; 0:
 * never. Ignored after rill_sim_heal, and for an unknown kind. */
RILL_API void rill_sim_set_fault(rill_sim *sim, rill_sim_fault kind, uint32_t rate);

/* Let this kind fire at its next `count` uses; an unknown kind is ignored. */
RILL_API void rill_sim_inject(rill_sim *sim, rill_sim_fault kind, uint32_t count);

/* How often this kind has fired; 0 for an unknown one. */
RILL_API uint64_t rill_sim_fault_count(const rill_sim *sim, rill_sim_fault kind);

/* The faults that fired, in order: up to `max` of their numbers. Returns how many there were; the
 * first 65536 are kept. A number names a choice, the n-th use of this kind by that object, so it
 * means the same in a run where others are left out: give it to only_faults. */
RILL_API size_t rill_sim_fired(const rill_sim *sim, uint32_t *ret_numbers, size_t max);

typedef bool (*rill_sim_trial)(rill_sim *sim, void *arg);

/*
 * Find the few faults that make a run fail. `fails` is your test: it gets a fresh world made with
 * `options`, runs whatever it runs there, and returns true when the failure shows; loops of
 * rill_sim_loop_new may be left to the world. It is called many times, with fewer and fewer faults
 * let through, and has to do the same each time; what it prints, it prints often.
 *
 * On success up to `max` numbers are in `ret_numbers`, in the order of firing, and `ret_count` says
 * how many: with exactly these the test fails, without any one of them it does not (unless 10000
 * trials were not enough). 0 means that it fails without faults.
 * Returns 0; RILL_ESTATE when it does not fail in the first place; RILL_ELIMIT for more than `max`,
 * or more than 65536 at the start; RILL_EINVAL (bad options, no `fails`); -ENOMEM.
 */
RILL_API int rill_sim_shrink(const rill_sim_options *options, rill_sim_trial fails, void *arg,
    uint32_t *ret_numbers, size_t max, size_t *ret_count);

/* The end of the safety phase: no fault fires any more, partitions are lifted, lost segments are
 * sent again soon. From here on a program must reach its goal. */
RILL_API void rill_sim_heal(rill_sim *sim);

/* ---- what happened ---- */

/* A hash over every event so far (time, host, object, event, bytes): equal for equal runs. */
RILL_API uint64_t rill_sim_trace_hash(const rill_sim *sim);

/* How many events that were. */
RILL_API uint64_t rill_sim_trace_count(const rill_sim *sim);

typedef void (*rill_sim_line_fn)(const char *line, void *arg);

/* Give the last 4096 events and the state of hosts and sockets, line by line without newlines, to
 * `write`; NULL: to stderr. Columns: time since the start in seconds, step, host, object, event. */
RILL_API void rill_sim_dump(const rill_sim *sim, rill_sim_line_fn write, void *arg);

/* ---- scripted peers ---- */

/*
 * A peer is the other end of a connection, or a listener, without a loop: you feed it and look at
 * what it got. By itself it reads all that arrives and sends what it was fed as the window allows.
 * Faults of the network meet it, those of system calls do not. The world owns it: it stays valid
 * until rill_sim_free, also when its connection has ended.
 *
 * Addresses are text: "10.0.0.1:80", "[fd00::1]:80", "db:80" (the first address of host "db";
 * the own host: 127.0.0.1), "unix:/run/a.sock", "unix:@name".
 */
typedef struct rill_sim_peer rill_sim_peer;

typedef enum rill_sim_peer_state {
    RILL_SIM_PEER_CONNECTING,
    RILL_SIM_PEER_LISTENING,
    RILL_SIM_PEER_OPEN,   /* Bytes can go both ways, or at least one way. */
    RILL_SIM_PEER_FAILED, /* Could not connect, or was reset: rill_sim_peer_error. */
    RILL_SIM_PEER_CLOSED  /* By rill_sim_peer_close or rill_sim_peer_reset. */
} rill_sim_peer_state;

/* Connect from `host` (NULL: "local"). Feeding may begin at once. Returns 0; RILL_EINVAL for an
 * unknown host; RILL_EADDRESS; -EADDRNOTAVAIL; -ENOMEM. How it ends is the peer's state. */
RILL_API int
rill_sim_dial(rill_sim *sim, const char *host, const char *address, rill_sim_peer **ret_peer);

/* Listen on a host (NULL: "local"). `backlog` connections wait for rill_sim_peer_accept.
 * Returns 0; RILL_EINVAL for an unknown host or a negative backlog; RILL_EADDRESS; -EADDRINUSE;
 * -EADDRNOTAVAIL; -ENOMEM. */
RILL_API int rill_sim_listen(rill_sim *sim, const char *host, const char *address, int backlog,
    rill_sim_peer **ret_listener);

/* The next connection of a listener: 0; -EAGAIN when there is none; RILL_EINVAL when `listener`
 * does not listen; -ENOMEM. */
RILL_API int rill_sim_peer_accept(rill_sim_peer *listener, rill_sim_peer **ret_peer);

/* Queue bytes to be sent; copied. Returns 0; RILL_EINVAL without data; RILL_ECLOSED when it has
 * ended or been shut down; -ENOMEM. */
RILL_API int rill_sim_peer_feed(rill_sim_peer *peer, const void *data, size_t len);

/* Send at most `bytes` every `interval` (a negative one is 0) from now on, instead of all that fits
 * at once; 0 bytes ends that. */
RILL_API void rill_sim_peer_dribble(rill_sim_peer *peer, size_t bytes, rill_ns interval);

/* Take up to `size` received bytes out. Returns how many. */
RILL_API size_t rill_sim_peer_take(rill_sim_peer *peer, void *buf, size_t size);

/* Look at the received bytes that were not taken; borrowed until the world runs on. */
RILL_API const void *rill_sim_peer_peek(const rill_sim_peer *peer, size_t *ret_len);

typedef void (*rill_sim_peer_fn)(rill_sim_peer *peer, void *arg);

/* Call `fn(peer, arg)` whenever something has happened to the peer: connected, a connection to
 * accept, bytes received, EOF, failed. Outside of all loops, as in rill_sim_call_later; from there
 * peers can be fed, so a whole scripted server is possible. Accepted peers inherit it. */
RILL_API void rill_sim_peer_watch(rill_sim_peer *peer, rill_sim_peer_fn fn, void *arg);

/* Stop reading, so that the other side's window fills, and go on. */
RILL_API void rill_sim_peer_pause(rill_sim_peer *peer);
RILL_API void rill_sim_peer_resume(rill_sim_peer *peer);

/* After what was fed: end the write side; or close. Closing with received bytes unread in the
 * kernel (after rill_sim_peer_pause) resets, as with sockets. */
RILL_API void rill_sim_peer_shutdown(rill_sim_peer *peer);
RILL_API void rill_sim_peer_close(rill_sim_peer *peer);

/* Now: drop what was fed and reset the connection (a Unix socket: close). */
RILL_API void rill_sim_peer_reset(rill_sim_peer *peer);

/* Where it stands now. */
RILL_API rill_sim_peer_state rill_sim_peer_get_state(const rill_sim_peer *peer);

/* Why it FAILED: -ECONNREFUSED, -ECONNRESET, -ETIMEDOUT...; else 0. */
RILL_API int rill_sim_peer_error(const rill_sim_peer *peer);

/* True when the other side's EOF was read. */
RILL_API bool rill_sim_peer_eof(const rill_sim_peer *peer);

/* Bytes received, and bytes that the peer's kernel took, ever. */
RILL_API uint64_t rill_sim_peer_bytes_in(const rill_sim_peer *peer);
RILL_API uint64_t rill_sim_peer_bytes_out(const rill_sim_peer *peer);

/* The addresses of the connection or the listener. Returns 0, or -ENOTCONN. */
RILL_API int rill_sim_peer_sockname(const rill_sim_peer *peer, rill_addr *ret_addr);
RILL_API int rill_sim_peer_peername(const rill_sim_peer *peer, rill_addr *ret_addr);

/* ---- programs and processes ---- */

/*
 * What rill_subprocess_exec starts on a simulated host: a program that you have registered there,
 * made of functions. All are called outside of all loops, as in rill_sim_call_later, and may be
 * NULL. A process runs until rill_sim_process_exit or a signal ends it.
 */
typedef struct rill_sim_process rill_sim_process;

typedef struct rill_sim_program {
    size_t size; /* sizeof(rill_sim_program) */

    /* It begins, has woken up (rill_sim_process_sleep), or finds that something has changed at its
     * standard streams. May be called for nothing. NULL: it does nothing until a signal comes. */
    void (*run)(rill_sim_process *process, void *arg);

    /* A signal has come, but for SIGKILL. True: it goes on; false, or NULL: what the signal does by
     * default. */
    bool (*signaled)(rill_sim_process *process, int signo, void *arg);

    /* It has ended, however: the last call for it. */
    void (*ended)(rill_sim_process *process, void *arg);

    int exec_error; /* An errno: executing it fails with that. */
} rill_sim_program;

/* Register a program for a host (NULL: "local") by the exact name that it will be started by; a
 * name that is not registered is ENOENT. `program` is copied. Returns 0; RILL_EINVAL (an unknown
 * host, no name, no size, exec_error out of range); -EEXIST; -ENOMEM. */
RILL_API int rill_sim_program_add(
    rill_sim *sim, const char *host, const char *name, const rill_sim_program *program, void *arg);

/* Its arguments, with a NULL behind them; until it ends. */
RILL_API const char *const *rill_sim_process_argv(const rill_sim_process *process);
RILL_API int64_t rill_sim_process_pid(const rill_sim_process *process);

/* A pointer of yours; NULL at first. */
RILL_API void rill_sim_process_set_data(rill_sim_process *process, void *data);
RILL_API void *rill_sim_process_data(const rill_sim_process *process);

/* End with `status` (its lowest 8 bits) after `delay`; a negative one is 0. Another call before
 * that replaces it. */
RILL_API void rill_sim_process_exit(rill_sim_process *process, int status, rill_ns delay);

/* Have `run` called after `delay`; a negative one is 0. Another call before that replaces it. */
RILL_API void rill_sim_process_sleep(rill_sim_process *process, rill_ns delay);

/* Read from its stdin: how many bytes; 0 at the end, or when that is no pipe; -EAGAIN: nothing
 * there now. */
RILL_API int64_t rill_sim_process_read(rill_sim_process *process, void *buf, size_t size);

/* Write to its stdout (1) or stderr (2): how many bytes were taken, all when that is no pipe;
 * -EAGAIN: no room now; -EPIPE: nobody reads any more, which raises no signal here; -EBADF. Both
 * return RILL_EINVAL without a process or bytes. */
RILL_API int64_t rill_sim_process_write(
    rill_sim_process *process, int fd, const void *data, size_t len);

/* Close one of its standard streams. */
RILL_API void rill_sim_process_close(rill_sim_process *process, int fd);

/* Processes of a host (NULL: "local") that run, or have ended and were not asked how. */
RILL_API size_t rill_sim_processes(const rill_sim *sim, const char *host);

RILL_END

#endif
