/*
 * What the conformance cases share: two sides that send and check numbered byte streams, a monitor
 * of the callback grammar, and waiting. Built on the public headers only, as a user could.
 */
#ifndef RILL__CONFORMANCE_BATTERY_H
#define RILL__CONFORMANCE_BATTERY_H

#include <rill/conformance.h>

#define RILL__BLOCK_BYTES    65536
#define RILL__FILL_BYTES_MAX (64u << 20) /* No honest transport buffers more unseen. */

typedef struct rill__battery rill__battery;
typedef struct rill__side rill__side;

/* One end of the pair. A case sets the hooks before or while the pair lives; the rest is filled in
 * by the callbacks. */
struct rill__side {
    rill__battery *battery;
    rill__side *peer;
    const char *name;
    rill_transport *t; /* From connection_made until connection_lost returns, else NULL. */
    rill_id id;
    uint8_t tint; /* Tells the stream of one side from the other's. */

    bool made, eof, lost;
    bool write_paused;  /* pause_writing was told last. */
    bool read_paused;   /* The case paused reading: nothing may come. */
    bool keep_open;     /* What eof_received returns. */
    bool quiet_on_data; /* Count the bytes but compare none. */
    unsigned depth;     /* Callbacks of this side on the stack. */
    size_t pauses, resumes, data_calls, buffer_calls;
    uint64_t sent, received;
    size_t queued_at_resume; /* Write buffer size inside resume_writing. */
    int code;
    rill_layer layer;
    int native;
    char sentence[128];

    size_t buffer_size; /* For the buffered protocol. */
    bool buffer_null;

    uint64_t target; /* For rill__side_pump. */

    void (*on_made)(rill__side *s);
    void (*on_data)(rill__side *s, rill_slice in); /* After the bytes were compared. */
    void (*on_updated)(rill__side *s, size_t len);
    void (*on_eof)(rill__side *s);
    void (*on_pause)(rill__side *s);
    void (*on_resume)(rill__side *s);
    void (*on_lost)(rill__side *s, const rill_reason *why);
    /* The byte this side must receive at `offset`; NULL: the peer's numbered stream. */
    uint8_t (*expected)(rill__side *s, uint64_t offset);

    uint8_t inbox[256]; /* The buffered protocol's buffer. */
};

struct rill__battery {
    rill_loop *loop;
    const rill_conformance_options *options;
    rill__side a, b;
    rill_ns timeout, settle;
    uint64_t random;
    unsigned calling;    /* The case is inside a call of the library. */
    bool resume_allowed; /* ... in which resume_writing may run too. */
    bool failed, skipped;
    uint64_t events; /* Callbacks of either side so far. */
    bool (*until)(rill__battery *b);
    char sentence[256];

    /* Free for the case. */
    unsigned counts[4];
    int codes[4];
    rill_ns times[2];
    uint64_t sizes[4];
    rill_id ids[4];
    rill_slice held[8];

    uint8_t block[RILL__BLOCK_BYTES]; /* Bytes being sent; write_ref lends them. */
};

typedef struct rill__case {
    const char *name;
    void (*run)(rill__battery *b);
} rill__case;

/* Tables, ended by a NULL name; in the order of running. */
extern const rill__case rill__cases_order[];  /* The grammar and bytes. */
extern const rill__case rill__cases_flow[];   /* Pausing, marks, cap, drains. */
extern const rill__case rill__cases_ends[];   /* Every way to end. */
extern const rill__case rill__cases_halves[]; /* EOF and half close. */
extern const rill__case rill__cases_forms[];  /* Buffered protocols, set_protocol, state, slices. */
extern const rill__case rill__cases_extras[]; /* write_ref, sendfile, timeouts, ids, reports. */

extern const rill_protocol rill__side_plain, rill__side_buffered;

/* Note a failure; the first one of a case counts. Stops a wait. */
void rill__battery_fail(rill__battery *b, const char *format, ...) RILL_PRINTF(2, 3);
void rill__battery_skip(rill__battery *b, const char *why);

/* Return from the case unless `condition` holds; the rest is a sentence for printf. */
#define RILL__EXPECT(b, condition, ...)         \
    do {                                        \
        if (!(condition)) {                     \
            rill__battery_fail(b, __VA_ARGS__); \
            return;                             \
        }                                       \
        if ((b)->failed)                        \
            return;                             \
    } while (0)

/* Before a case uses a transport itself: it may be lost, for want of memory for example. */
#define RILL__EXPECT_ALIVE(b, side) \
    RILL__EXPECT(b, (side)->t != NULL, "%s: lost with %s", (side)->name, rill_errname((side)->code))

/* Start a pair and wait until both ends are made. `options` NULL: small socket buffers, defaults
 * otherwise. False: the case has failed. */
bool rill__battery_open(rill__battery *b, const rill_transport_options *options);
/* Only start it: no callback has run. */
bool rill__battery_start(rill__battery *b, const rill_transport_options *options,
    const rill_protocol *protocol_a, const rill_protocol *protocol_b);
rill_transport_options rill__battery_small(void);

/* Run until `until` is true, which is looked at after every callback; false after the timeout, then
 * the case has failed with `what` in its sentence. */
bool rill__battery_wait(rill__battery *b, bool (*until)(rill__battery *b), const char *what);
/* Let everything happen that can happen in some turns; a loop that spins for nothing fails. */
void rill__battery_settle(rill__battery *b);
void rill__battery_run_for(rill__battery *b, rill_ns length);
/* For callbacks that are not a side's: look at the condition of the wait. */
void rill__battery_poke(rill__battery *b);

bool rill__both_made(rill__battery *b);
bool rill__both_lost(rill__battery *b);
bool rill__all_received(rill__battery *b); /* By both sides, what the other one has sent. */
bool rill__b_has_all(rill__battery *b);

uint32_t rill__battery_random(rill__battery *b, uint32_t below);

/* Calls that watch that nothing runs inside them but what may. */
void rill__call_begin(rill__battery *b);
void rill__call_end(rill__battery *b);

/* Send the next `len` bytes of the side's stream in one write, at most a block. */
int rill__side_send(rill__side *s, size_t len);
/* Fill a block with the side's stream from `offset` on. */
void rill__side_pattern(const rill__side *s, uint64_t offset, uint8_t *buf, size_t len);
/* The peer has paused: send until pause_writing, and until it lasts unless the case has a hook for
 * it; or fail. */
bool rill__side_fill(rill__side *s);
/* Send in random pieces while the marks allow it, up to the target in all; also a resume hook. */
void rill__side_pump(rill__side *s);
/* These do nothing when the side is lost; the last two, and send, return RILL_ECLOSED then. */
void rill__side_close(rill__side *s);
void rill__side_abort(rill__side *s);
void rill__side_pause(rill__side *s);
void rill__side_resume(rill__side *s);
int rill__side_write_eof(rill__side *s);
int rill__side_set_protocol(rill__side *s, const rill_protocol *protocol, void *arg);

#endif
