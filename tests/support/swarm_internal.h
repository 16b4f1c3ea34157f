/*
 * What the files of the swarm share: the world, loops, timers, servers, conversations and their
 * ends, with what must hold of each by the calls and callbacks so far. All of a world belongs to
 * one thread.
 */
#ifndef SUPPORT_SWARM_INTERNAL_H
#define SUPPORT_SWARM_INTERNAL_H

#include "allocator.h"
#include "swarm.h"

#include <inttypes.h>
#include <string.h>

#define SWARM_LOOPS   3
#define SWARM_SERVERS 5
#define SWARM_TALKS   64 /* Conversations, at most. */
#define SWARM_TIMERS  256
#define SWARM_SLICE   (500 * RILL_MS) /* Between two looks at everything. */
#define SWARM_PERIOD  65521           /* Of the bytes that are sent; a prime. */

typedef struct swarm swarm;
typedef struct swarm_loop swarm_loop;
typedef struct swarm_server swarm_server;
typedef struct swarm_talk swarm_talk;
typedef struct swarm_end swarm_end;
typedef struct swarm_timer swarm_timer;
typedef struct swarm_ref swarm_ref;

/* Numbers of one object: independent of what other objects draw. */
typedef struct swarm_dice {
    uint64_t state;
} swarm_dice;

swarm_dice swarm_dice_of(uint64_t seed, uint32_t domain, uint64_t object);
uint32_t swarm_below(swarm_dice *dice, uint32_t below);
bool swarm_chance(swarm_dice *dice, uint32_t percent);

/* A breach: one line, and the process ends with code 1. */
_Noreturn void swarm_fail(const swarm *w, const char *format, ...) RILL_PRINTF(2, 3);

#define SWARM_CHECK(w, condition, ...)         \
    do {                                       \
        if (__builtin_expect(!(condition), 0)) \
            swarm_fail(w, __VA_ARGS__);        \
    } while (0)

/* No callback but pause_writing may run while a call of ours is inside the library. */
#define SWARM_CALL(w, name)                                                                \
    for (const char *outer_ = (w)->inside, *once_ = ((w)->inside = (name)); once_ != NULL; \
         (w)->inside = outer_, once_ = NULL)

/* ---- timers and messages (swarm_timer.c) ---- */

typedef void (*swarm_fn)(void *arg);

/* A timer and what is known about it. */
struct swarm_timer {
    swarm_loop *loop;
    rill_id id;
    rill_ns due;
    rill_ns armed_at;
    uint64_t order;    /* Of arming, among equal times. */
    uint64_t eligible; /* The first turn that may run it. */
    rill_ns period;    /* 0: once. */
    uint64_t fired;
    bool used;
    bool loose; /* Moved when it was ready already: among equals its place is open. */
    swarm_fn fn;
    void *arg;
};

/* NULL without memory. `period` 0: once. */
swarm_timer *
swarm_timer_start(swarm_loop *l, rill_ns delay, rill_ns period, swarm_fn fn, void *arg);
void swarm_timer_cancel(swarm_timer *timer);
void swarm_timer_move(swarm_timer *timer, rill_ns delay);
/* Several timers at one time that cancel and move each other. */
void swarm_volley(swarm_loop *l);
/* The loop is gone, and they with it. */
void swarm_timers_forget(swarm_loop *l);
void swarm_timers_observe(swarm_loop *l);

void swarm_messages_free(swarm *w);

/* By rill_call_soon: returns false without memory. */
bool swarm_soon(swarm_loop *l, swarm_fn fn, void *arg);
/* By rill_call_soon, and canceled again. */
void swarm_soon_canceled(swarm_loop *l);
/* By rill_call_soon_threadsafe. */
bool swarm_post(swarm_loop *l, swarm_fn fn, void *arg);
/* By rill_sim_call_later: outside of all loops, unless a lone one runs by itself. */
void swarm_later(swarm *w, rill_ns delay, swarm_fn fn, void *arg);

/* ---- the world ---- */

struct swarm_loop {
    swarm *world;
    rill_loop *loop; /* NULL: freed. */
    const char *host;
    char ip[32];
    swarm_dice dice;
    size_t live; /* Transports between made and lost. */
    uint64_t reports[RILL_ERROR_USER + 1];
    rill_id dead_timer; /* Ids that name nothing any more. */
    rill_id dead_transport;
    rill_id dead_operation;

    swarm_timer timers[SWARM_TIMERS];
    uint64_t timer_orders;
    uint64_t soon_made, soon_ran;
    uint64_t posts_made, posts_ran;
};

enum swarm_kind {
    SWARM_ECHO,   /* The server sends back what comes. */
    SWARM_BOTH,   /* Both sides send on their own. */
    SWARM_LINES,  /* Lines ask for so many bytes. */
    SWARM_SILENT, /* A few bytes, then nothing: somebody's idle timeout ends it. */
    SWARM_KINDS
};

enum swarm_form { SWARM_TCP, SWARM_UNIX, SWARM_PAIR, SWARM_PEER };

struct swarm_server {
    swarm_loop *l;
    rill_server *server; /* NULL: closed. */
    uint16_t number;
    swarm_dice dice;
    char path[32]; /* Unix, or empty: TCP. */
    rill_server_options options;
    rill_transport_options transport;
    const rill_protocol *protocol;
    bool closing;   /* close or drain was called. */
    bool draining;  /* `drained` is due. */
    bool disturbed; /* Was closed or not there at some time: connects may fail. */
    size_t live;
    uint64_t made, lost;
};

/* One conversation: two ends, of which the server's is known when its hello has arrived. */
struct swarm_talk {
    swarm *world;
    swarm_loop *l; /* The client's. */
    swarm_server *server;
    rill_id connect;  /* Pending attempt. */
    uint64_t goal[2]; /* Bytes that each side sends; LINES: questions of the client. */
    swarm_end *ends[2];
    swarm_dice dice;
    uint16_t number;
    uint8_t kind;
    uint8_t form;
    bool polite; /* Nobody aborts, pauses for long or leaves early. */
    bool final;  /* After healing: everything must arrive. */
    bool begun;
    bool connecting;
    bool over; /* The client's side: lost, or never made. */
    rill_sim_peer *peer;
};

enum swarm_wait {
    SWARM_WAIT_NOTHING,
    SWARM_WAIT_RESUME,
    SWARM_WAIT_SOON,
    SWARM_WAIT_TIMER,
    SWARM_WAIT_DRAIN,
    SWARM_WAIT_SENDFILE,
    SWARM_WAIT_INPUT
};

struct swarm_end {
    swarm_end *self; /* First: a protocol's state begins with this too. */
    swarm *world;
    swarm_end *next; /* Of the world. */
    swarm_talk *talk;
    swarm_server *server; /* That accepted it. */
    swarm_loop *l;
    swarm_dice dice;
    uint8_t side; /* 0: client. */
    uint8_t form;
    rill_transport *t;
    rill_id id;

    /* What must hold, by the callbacks and calls so far. */
    bool made, lost;
    bool eof_in, eof_out;
    bool closed;  /* By close, or by returning false from eof_received. */
    bool aborted; /* By abort, fail, a timeout or a loss: the rest may never arrive. */
    bool closed_by_eof;
    int fail_code;
    char fail_sentence[40];
    bool refused; /* A write said RILL_ECLOSED before we closed. */
    bool reading_paused, writing_paused;
    bool by_others; /* The server may have closed or aborted it. */
    int code;       /* Of connection_lost. */
    rill_ns closed_at;
    bool close_waits; /* For a sendfile first. */
    size_t high, low, cap;
    rill_ns idle, stall, close_timeout; /* 0: none. */
    uint64_t sent, received;            /* Behind the hello. */
    uint64_t bytes_in;                  /* With it. */
    uint64_t bytes_written;
    uint64_t burst_serial, burst;
    uint64_t trusted; /* Of earlier bursts, at most: the driver may still bring it back. */
    rill_ns heard_at; /* Last callback with bytes. */
    rill_ns seen_at;  /* Last time when its counters had moved. */
    rill_ns out_at;
    uint64_t seen_in, seen_out;
    unsigned drains, refs, sendfiles;

    /* What it does. */
    uint8_t wait;
    uint8_t silence; /* Reasons not to read. */
    bool greedy;     /* Does not stop for pause_writing. */
    bool in_limits;  /* Inside of set_write_limits: resume_writing may come. */
    bool hello_done;
    bool finished; /* All that it wants to send is sent. */
    uint8_t hello_len;
    uint8_t hello[8];
    char line[16]; /* LINES: what has come of one. */
    uint8_t line_len;
    uint32_t lines;    /* Asked, or answered. */
    uint64_t answer;   /* LINES, server: bytes asked for so far. */
    uint64_t expected; /* LINES, client: the same. */
    int mischief;      /* So many actions of chance are left. */
    int told;          /* What a drain or sendfile said of the loss. */
    swarm_timer *wait_timer;
    swarm_timer *resume_timer;
    rill_id drain_id;
    size_t drain_bytes;
    uint64_t drain_written;
    rill_ns drain_until;
    rill_id file_id;
    uint64_t file_count;
    bool file_canceled;
    rill_slice held;
    uint8_t *held_copy; /* NULL: none is held. */
    uint8_t *buffer;    /* For buffered protocols, between two guards. */
    size_t buffer_len;
};

enum { SWARM_SILENT_BY_TIMER = 1, SWARM_SILENT_BY_PRESSURE = 2 };

struct swarm {
    uint64_t seed;
    rill_sim *sim;
    allocator memory;
    rill_sim_profile profile;
    swarm_dice dice;
    bool calm; /* No fault can happen. */
    bool lone; /* One loop, run by rill_loop_run_until. */
    bool healed;
    bool ending;        /* Loops are being freed. */
    const char *inside; /* Which call of ours is under way. */
    uint64_t serial;    /* Of callbacks. */
    uint64_t end_numbers;
    swarm_loop loops[SWARM_LOOPS];
    size_t loop_count;
    swarm_server servers[SWARM_SERVERS];
    size_t server_count;
    swarm_talk talks[SWARM_TALKS];
    size_t talk_count;
    swarm_end *ends;
    swarm_ref *refs;
    struct swarm_message *messages;
};

rill_ns swarm_now(const swarm *w);
/* Every callback but pause_writing passes here. */
void swarm_enter(swarm *w, const char *what);
bool swarm_is_calm(const swarm *w); /* No fault can have happened. */
/* The world's bytes: what direction `side` of a talk sends at `at`; good for SWARM_PERIOD more. */
const uint8_t *swarm_bytes(const swarm_talk *talk, int side, uint64_t at);
/* A file with those bytes, and where in it they are. */
int swarm_file(void);
uint64_t swarm_file_offset(const swarm_talk *talk, int side, uint64_t at);

/* ---- ends: the monitor (swarm_end.c) ---- */

#define SWARM_SERVER_PROTOCOLS 3
#define SWARM_CLIENT_PROTOCOLS 5
extern const rill_protocol swarm_server_protocols[SWARM_SERVER_PROTOCOLS]; /* With a server. */
extern const rill_protocol swarm_client_protocols[SWARM_CLIENT_PROTOCOLS]; /* With an end. */

swarm_end *swarm_end_new(swarm_talk *talk, int side, swarm_loop *l, uint8_t form);
void swarm_end_options(swarm_end *e, const rill_transport_options *o);
bool swarm_end_may_act(const swarm_end *e);
void swarm_ends_observe(swarm *w);
void swarm_ends_free(swarm *w);
void swarm_end_describe(const swarm_end *e, char *buf, size_t size);

/* ---- ends: their work (swarm_act.c) ---- */

void swarm_start(swarm_end *e); /* connection_made */
void swarm_know(swarm_end *e);  /* The hello has come. */
void swarm_go_on(swarm_end *e); /* With what it has to send. */
void swarm_poke(swarm_end *e);  /* Something has come. */
void swarm_echo(swarm_end *e, size_t len);
bool swarm_heard_all(swarm_end *e); /* eof_received: returns what it answers. */
void swarm_held_up(swarm_end *e);   /* pause_writing */
void swarm_let_go(swarm_end *e);    /* resume_writing */
void swarm_stop(swarm_end *e);      /* connection_lost */
void swarm_end_close(swarm_end *e);
void swarm_end_abort(swarm_end *e);
void swarm_end_fail(swarm_end *e, int code, const char *sentence);
void swarm_refs_free(swarm *w);

/* ---- ends: mischief (swarm_mischief.c) ---- */

void swarm_mischief(swarm_end *e);
void swarm_set_silence(swarm_end *e, unsigned reason, bool on);
void swarm_hold(swarm_end *e, rill_slice in);
void swarm_release_held(swarm_end *e);

/* ---- servers and clients (swarm_talk.c) ---- */

void swarm_server_draw(swarm_server *s, swarm *w, size_t number);
void swarm_server_open(swarm_server *s);
void swarm_server_close(swarm_server *s);
void swarm_server_mischief(swarm_server *s);
void swarm_server_observe(swarm_server *s);
void swarm_talk_draw(swarm_talk *talk, swarm *w);
void swarm_talk_begin(swarm_talk *talk);
/* A talk that must succeed, with this server. */
void swarm_talk_last(swarm *w, swarm_server *s);
void swarm_talk_check_complete(const swarm_talk *talk);
/* The server's end has heard the hello: NULL if there is no such talk. */
swarm_talk *swarm_talk_of(swarm *w, const uint8_t hello[8], swarm_end *e);
void swarm_hello(const swarm_talk *talk, uint8_t hello[8]);
/* The stream of bytes that this end sends: ECHO has one for both. */
int swarm_stream_of(const swarm_end *e);
/* The text of a question, and how many bytes it asks for. */
int
swarm_line(const swarm_talk *talk, uint32_t number, char *buf, size_t size, uint64_t *ret_bytes);

#endif
