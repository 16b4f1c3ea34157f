/*
 * What the files of core/ share, and what the floors above use of it: the loop's struct, ready
 * nodes, timers, ids, objects, reports. Nothing here is public.
 */
#ifndef RILL__CORE_INTERNAL_H
#define RILL__CORE_INTERNAL_H

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <rill/loop.h>

#include "core/driver/driver.h"
#include "core/list.h"

#define RILL__LIKELY(x)   __builtin_expect(!!(x), 1)
#define RILL__UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What is rare stays a call: inlined, it would make the usual way save registers for it. */
#define RILL__RARE __attribute__((noinline, cold))

#define RILL__CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Always on: what would corrupt memory ends the process with a sentence that says what to do. */
_Noreturn void rill__panic(const char *format, ...) RILL_PRINTF(1, 2);
#define rill__check(condition)                                                               \
    do {                                                                                     \
        if (RILL__UNLIKELY(!(condition)))                                                    \
            rill__panic("%s:%d: internal check failed: %s", __FILE__, __LINE__, #condition); \
    } while (0)

/* Bugs planted for the tests of the tests: RILL_BUG=name in a build with RILL_TESTING. */
#if RILL_TESTING
extern const char *rill__bug_planted;
void rill__bug_plant(const char *name); /* Or none, with NULL; borrowed. */
#define rill__bug(name) \
    (RILL__UNLIKELY(rill__bug_planted != NULL) && strcmp(rill__bug_planted, name) == 0)
#else
#define rill__bug(name) false
#endif

/* ---- ids: kind 3 bits, loop tag 7, index 24, generation 30 ---- */

enum rill__id_kind {
    RILL__ID_SOON = 1,
    RILL__ID_TIMER = 2,
    RILL__ID_OPERATION = 3, /* Connects, drains, sendfiles, restarts: see rill__operation. */
    RILL__ID_TRANSPORT = 4
};

#define RILL__INDEX_BITS      24
#define RILL__GENERATION_BITS 30
#define RILL__GENERATION_MASK ((UINT64_C(1) << RILL__GENERATION_BITS) - 1)
#define RILL__INDEX_MAX       ((UINT32_C(1) << RILL__INDEX_BITS) - 1)

#define RILL__KIND_SHIFT 61
#define RILL__TAG_SHIFT  (RILL__INDEX_BITS + RILL__GENERATION_BITS)

/* What every object of a slab begins with: its id, without the kind while it is free. */
typedef struct rill__slot {
    rill_id id;
} rill__slot;

static inline bool
rill__slot_is_live(const rill__slot *slot)
{
    return slot->id >> RILL__KIND_SHIFT != 0;
}

static inline uint32_t
rill__id_index(rill_id id)
{
    return (uint32_t)(id >> RILL__GENERATION_BITS) & RILL__INDEX_MAX;
}

/* Objects of one size with an id each, in pages that stay until the loop goes: a stale id can
 * always be looked up. Free ones are chained through their second word. */
typedef struct rill__slab {
    unsigned char **pages; /* Aligned to 64 bytes. */
    struct rill__slab_free *free;
    uint32_t page_count;
    uint32_t page_capacity;
    uint32_t live;
    uint32_t object_size;
    uint32_t cold_size; /* Bytes per object in a second array behind the objects of a page. */
    uint8_t kind;       /* rill__id_kind */
} rill__slab;

#define RILL__SLAB_PAGE 128

void rill__slab_init(rill__slab *slab, uint8_t kind, uint32_t object_size, uint32_t cold_size);
void rill__slab_done(rill_loop *loop, rill__slab *slab);
/* 0, -ENOMEM or RILL_ELIMIT. */
RILL__RARE int rill__slab_grow(rill_loop *loop, rill__slab *slab);
void *rill__slab_cold(const rill__slab *slab, const void *object);

/* The object at an index, free or not; NULL when there never was one. */
static inline void *
rill__slab_at(const rill__slab *slab, uint32_t index)
{
    if (RILL__UNLIKELY(index / RILL__SLAB_PAGE >= slab->page_count))
        return NULL;
    return slab->pages[index / RILL__SLAB_PAGE] +
           (size_t)(index % RILL__SLAB_PAGE) * slab->object_size;
}

/* The live object of an id, or NULL. */
static inline void *
rill__slab_find(const rill__slab *slab, rill_id id)
{
    rill__slot *slot = rill__slab_at(slab, rill__id_index(id));

    return slot != NULL && slot->id == id && rill__slot_is_live(slot) ? slot : NULL;
}

struct rill__slab_free {
    rill__slot slot;
    struct rill__slab_free *next;
};

/* NULL: call rill__slab_grow first. */
static inline void *
rill__slab_take(rill__slab *slab)
{
    struct rill__slab_free *object = slab->free;

    if (RILL__UNLIKELY(object == NULL))
        return NULL;
    slab->free = object->next;
    slab->live++;
    object->slot.id |= (rill_id)slab->kind << RILL__KIND_SHIFT;
    return object;
}

static inline void
rill__slab_release(rill__slab *slab, void *object)
{
    struct rill__slab_free *freed = object;
    rill_id id = freed->slot.id & ~((rill_id)slab->kind << RILL__KIND_SHIFT);

    rill__check(rill__slot_is_live(&freed->slot));
    freed->slot.id = (id & ~RILL__GENERATION_MASK) | ((id + 1) & RILL__GENERATION_MASK);
    freed->next = slab->free;
    slab->free = freed;
    slab->live--;
}

/* Memory for objects of up to 1,024 bytes that are dangerous to use after their end: a page stays
 * with the loop until it is freed, so that what is written at their beginning can always be read
 * (pool.c). Zeroed. */
#define RILL__POOL_MAX     1024
#define RILL__POOL_STEP    16
#define RILL__POOL_CLASSES (RILL__POOL_MAX / RILL__POOL_STEP)

typedef struct rill__pool {
    struct rill__pool_free *free[RILL__POOL_CLASSES];
    struct rill__pool_page *pages;
} rill__pool;

void *rill__pool_take(rill_loop *loop, size_t size);
/* `keep` bytes at the beginning stay as they are. */
void rill__pool_release(rill_loop *loop, void *object, size_t size, size_t keep);
void rill__pool_done(rill_loop *loop);

/* ---- timers ---- */

enum rill__timer_place {
    RILL__TIMER_IDLE,  /* Not armed. */
    RILL__TIMER_WHEEL, /* In a slot; `deadline` may be later than the slot (a lazy re-arm). */
    RILL__TIMER_HEAP,  /* Due in the present tick: exact order. */
    RILL__TIMER_READY  /* Expired, on the ready list. */
};

/* An armed timer is either in a wheel slot (next, prev_link), in the pairing heap (next = sibling,
 * child, prev = parent or left sibling) or on the ready list (ready, ahead). */
typedef struct rill__timer rill__timer;
struct rill__timer {
    union {
        rill__ready ready;
        struct {
            rill__timer *next;
            rill__timer *child;
        };
    };
    union {
        rill__timer **prev_link;
        rill__timer *prev;
        const rill__timer *ahead; /* Runs soon after; only to prefetch, it may be gone. */
    };
    rill_ns deadline;
    union {
        uint64_t state; /* All of the following, to set it at once. */
        struct {
            uint64_t place : 4;
            uint64_t user : 1; /* A user_timer (handle.c); else a rill__own_timer. */
            uint64_t periodic : 1;
            uint64_t sited : 1;    /* Its site is known. */
            uint64_t canceled : 1; /* While READY: skip it. */
            uint64_t moved : 1;    /* While READY: arm it at `deadline` instead of running it. */
            uint64_t sequence : 55;
        };
    };
};

/* Bits of state below the sequence, and those of them that say what kind of timer it is. */
#define RILL__TIMER_STATE_BITS 9
#define RILL__TIMER_STATE_MASK ((UINT64_C(1) << RILL__TIMER_STATE_BITS) - 1)
#define RILL__TIMER_KIND_MASK  ((uint64_t)0x70)
#define RILL__TIMER_USER       ((uint64_t)0x10)

/* The library's own timers, embedded in their owner. */
typedef struct rill__own_timer rill__own_timer;
struct rill__own_timer {
    rill__timer timer;
    void (*fn)(rill__own_timer *self);
};

#define RILL__WHEEL_TICK_BITS  20 /* A tick is 2^20 ns, 1.05 ms. */
#define RILL__WHEEL_LEVEL_BITS 6
#define RILL__WHEEL_SLOTS      (1 << RILL__WHEEL_LEVEL_BITS)
#define RILL__WHEEL_LEVELS     8
/* Lists per slot, so that as many cache misses are under way while a slot is emptied. */
#define RILL__WHEEL_LANES 8

typedef struct rill__timers {
    rill__timer *heap;
    uint64_t tick; /* All of this tick and before is in the heap. */
    uint64_t sequence;
    size_t count;      /* In wheel and heap. */
    size_t user_count; /* Of these and of the ready ones, how many are the user's. */
    uint64_t occupied[RILL__WHEEL_LEVELS];
    rill__timer *slots[RILL__WHEEL_LEVELS][RILL__WHEEL_SLOTS][RILL__WHEEL_LANES];
} rill__timers;

void rill__timers_init(rill__timers *timers, rill_ns now);
/* Move what is due at `now` to the ready list, in order of (deadline, sequence). */
void rill__timers_expire(rill_loop *loop, rill_ns now);
/* When wait must end; RILL_NEVER when nothing is armed. May be early, never late. */
rill_ns rill__timers_next(const rill__timers *timers);
void rill__timers_check(const rill__timers *timers);

/* Arm or re-arm one of the library's own; never fails. After disarm its memory may go. */
void rill__timer_arm(rill_loop *loop, rill__own_timer *timer, rill_ns deadline);
void rill__timer_disarm(rill_loop *loop, rill__own_timer *timer);
static inline bool
rill__timer_is_armed(const rill__own_timer *timer)
{
    return timer->timer.place != RILL__TIMER_IDLE;
}

/* What to do with an expired timer whose turn on the ready list has come: true to run it. */
bool rill__timer_take_ready(rill_loop *loop, rill__timer *timer);
/* Move an armed or an expired timer; an expired one does not run. */
void rill__timer_postpone(rill_loop *loop, rill__timer *timer, rill_ns deadline);

/* For user timers (handle.c). */
void rill__timer_insert(rill__timers *timers, rill__timer *timer);
void rill__timer_remove(rill__timers *timers, rill__timer *timer);
void rill__timer_move(rill__timers *timers, rill__timer *timer, rill_ns deadline);

/* ---- call_soon (soon.c) ---- */

typedef struct rill__soon {
    rill_callback fn;
    void *arg;
    const char *site;
} rill__soon;

/* Stands on the ready list for the ring's callbacks between the mark before it and `end`; its `run`
 * is NULL. The last mark's end is the ring's tail, and not written down before another follows. */
typedef struct rill__soons_mark {
    rill__ready ready;
    uint64_t end;
} rill__soons_mark;

typedef struct rill__soons {
    rill__soon *ring;
    uint64_t mask; /* Its slots, a power of two, less 1. */
    uint64_t head; /* Positions count up for ever. */
    uint64_t tail;
    uint64_t limit; /* Below it the tail may move without a look at anything else. */
    rill__soons_mark *last;
    rill__ready *free_marks;
    rill__soons_mark first_mark; /* Mostly there is only one. */
} rill__soons;

void rill__soons_init(rill_loop *loop);
void rill__soons_done(rill_loop *loop);
bool rill__soons_cancel(rill_loop *loop, rill_id id);
/* The mark that a node of the ready list is, or NULL. */
static inline rill__soons_mark *
rill__soons_mark_of(rill__ready *node)
{
    return node->run == NULL ? RILL__CONTAINER(node, rill__soons_mark, ready) : NULL;
}

static inline uint64_t
rill__soons_end_of(const rill__soons *soons, const rill__soons_mark *mark)
{
    return mark == soons->last ? soons->tail : mark->end;
}

/* Something else is now at the end of the ready list, or call_soon has to be refused. */
static inline void
rill__soons_interrupt(rill__soons *soons)
{
    soons->limit = 0;
}

/* The mark was taken off the list: forget what callbacks it has left. */
void rill__soons_drop(rill_loop *loop, rill__soons_mark *mark);

/* ---- timers of the user's (handle.c) ---- */

void rill__handles_init(rill_loop *loop);
void rill__user_timer_run(rill__ready *ready);
/* Drop every handle of the user's; returns how many timers there were. */
size_t rill__handles_drop(rill_loop *loop);

/* ---- operations that rill_cancel can end (connects, drains, sendfiles, restarts) ---- */

typedef struct rill__operation {
    rill__slot slot;
    bool (*cancel)(void *object); /* Returns true when the callback will not run any more. */
    void *object;
} rill__operation;

int rill__operation_new(rill_loop *loop, bool (*cancel)(void *), void *object, rill_id *ret_id);
void rill__operation_end(rill_loop *loop, rill_id id); /* 0 and stale ids are ignored. */

/* ---- objects with a place on the leftover list ---- */

enum rill__object_kind {
    RILL__OBJECT_CONNECT,
    RILL__OBJECT_SERVER,
    RILL__OBJECT_TRANSPORT,
    RILL__OBJECT_RESTART,
    RILL__OBJECT_INHERITED,
    RILL__OBJECT_PROCESS,
    RILL__OBJECT_TASK,
    RILL__OBJECT_JOB,
    RILL__OBJECT_WATCH,
    RILL__OBJECT_KINDS
};

typedef struct rill__object {
    rill__link link;
    const char *site;
} rill__object;

typedef struct rill__object_ops {
    void (*end)(rill__object *object); /* The loop is being freed: begin to end it. */
    void (*describe)(const rill__object *object, char *buf, size_t size);
} rill__object_ops;

void rill__object_add(rill_loop *loop, enum rill__object_kind kind, const rill__object_ops *ops,
    rill__object *object, const char *site);
void rill__object_remove(rill_loop *loop, enum rill__object_kind kind, rill__object *object);

/* ---- what the floor of tasks keeps here ---- */

/* Variables of whoever runs: counted references (tasks/variable.c). */
typedef struct rill__context_ops {
    void (*hold)(void *context);
    void (*release)(rill_loop *loop, void *context);
} rill__context_ops;

typedef struct rill__tasks_ops {
    rill__object_ops object;
    void (*abandon)(rill_loop *loop); /* Those that do not end: forget them. */
    void (*done)(rill_loop *loop);
    /* Jobs on other threads: is any worth waiting for; and forget those that do not end. */
    bool (*jobs_may_end)(const rill_loop *loop);
    void (*abandon_jobs)(rill_loop *loop);
} rill__tasks_ops;

/* ---- the inbox: messages from other threads (inbox.c) ---- */

typedef struct rill__inbox rill__inbox;

int rill__inbox_new(rill_loop *loop, rill__inbox **ret_inbox);
void rill__inbox_free(rill_loop *loop, rill__inbox *inbox);
/* Announce that the loop will sleep; false: there are messages, do not. */
bool rill__inbox_may_sleep(rill__inbox *inbox);
void rill__inbox_awake(rill__inbox *inbox);
/* Take what was posted into the running batch; true when there is something to run. */
bool rill__inbox_take(rill_loop *loop, rill__inbox *inbox);
bool rill__inbox_is_empty(rill__inbox *inbox);
/* No message is accepted any more; those that were have still to be taken. */
void rill__inbox_close(rill__inbox *inbox);
/* After close: nothing is left to take, and no sender is left inside. */
bool rill__inbox_is_drained(rill__inbox *inbox);

/* ---- mail: messages without memory (mail.c) ---- */

typedef struct rill__mail rill__mail;
struct rill__mail {
    rill__mail *next;
    atomic_bool posted;
    void (*fn)(rill__mail *self); /* At the beginning of a turn: it schedules. */
};

/* Any thread; also a signal handler. */
void rill__mail_post(rill_loop *loop, rill__mail *mail);
void rill__mail_take(rill_loop *loop);
/* Nobody can post any more: wait for those who are about to leave. */
void rill__mail_settle(rill_loop *loop);

/* ---- readers and writers of foreign descriptors (watch.c) ---- */

enum rill__watch_side { RILL__WATCH_READ, RILL__WATCH_WRITE, RILL__WATCH_SIDES };

typedef struct rill__watches rill__watches;

/* As rill_add_reader or rill_add_writer, for one wait: where somebody else is, RILL_EBUSY, and
 * while it lasts nobody can replace it. Other errors are the driver's. */
int rill__watch_begin(rill_loop *loop, int fd, enum rill__watch_side which, rill_callback fn,
    void *arg, const char *site);
void rill__watch_end(rill_loop *loop, int fd, enum rill__watch_side which);
bool rill__watch_is_awaited(const rill_loop *loop, int fd);
void rill__watches_done(rill_loop *loop);

/* ---- polling before sleep (spin.c) ---- */

typedef struct rill__spin {
    rill_ns limit;  /* The user's; 0: never. */
    rill_ns usual;  /* How soon arrivals have come, */
    rill_ns budget; /* and how long the next try lasts. */
    uint32_t level; /* Tries in vain of late; */
    uint32_t skip;  /* quiet times until the next try. */
    bool quiet;     /* Nothing has arrived since `quiet_since`, */
    bool trying;    /* and the try has not been in vain so far. */
    rill_ns quiet_since;
    rill_ns try_ends;
    uint64_t tries; /* Ever; */
    uint64_t hits;  /* those that were met; */
    uint64_t polls; /* and what they took. */
} rill__spin;

void rill__spin_init(rill__spin *spin, rill_ns limit);
/* A quiet time begins: how long to poll in it, 0 for not at all. */
rill_ns rill__spin_begin(rill__spin *spin);
/* Something arrived after `gap`, during the try; */
void rill__spin_hit(rill__spin *spin, rill_ns gap);
/* nothing did; */
void rill__spin_miss(rill__spin *spin);
/* or it arrived during a sleep, `gap` after the quiet time's beginning. */
void rill__spin_slept(rill__spin *spin, rill_ns gap);
/* The driver's wait, with a deadline other than 0, of a loop that may spin. */
int rill__spin_wait(rill_loop *loop, rill_ns deadline);

#define RILL__STAGE_BYTES ((size_t)64 * 1024)

/* ---- the loop ---- */

struct rill_loop {
    /* Touched by every turn. */
    rill__ready *ready_head;
    rill__ready *ready_tail;
    uint64_t queued;   /* Callbacks that were put on the ready list, ever; */
    uint64_t ran;      /* how many of these ran; */
    uint64_t turn_end; /* and `ran` when this turn has run what it runs. */
    void (*epilogue)(
        void *object); /* After the present callback: the staged write, see stream.c. */
    void *epilogue_object;
    const rill__driver_ops *ops;
    rill__driver *driver;
    const rill__sys_ops *sys;
    rill_ns now;
    bool now_valid;
    bool running;
    bool in_callback;
    bool stop;
    bool debug;
    bool freeing;
    uint8_t tag;
    uint32_t fork_generation;
    uint32_t generation_salt;
    rill__ready *reap;        /* Run at the turn's end, chained through next. */
    const char *current_site; /* Of the running callback, for the slow report. */
    const char *current_what;

    struct rill__fiber *fiber; /* The task that runs, or NULL. */
    int *errno_address;        /* Of the thread that runs it. */
    size_t fibers_ready;       /* Of what is ready, how many are tasks; */
    rill_ns looked_at;         /* the coarse clock after the last look for events, or 0, */
    uint64_t looked_before;    /* and what had run by then. */
    void *context;
    const rill__context_ops *context_ops;
    struct rill__tasks *tasks; /* NULL before the first task. */
    const rill__tasks_ops *tasks_ops;
    size_t futures;     /* Alive. */
    size_t idle_timers; /* Armed ones that wake nobody. */
    bool special_wait;  /* It may spin, or a deadlock be told: see wait_specially. */
    bool tells_deadlock;
    bool abandoned;             /* Tasks were dropped, with what memory they had. */
    _Atomic uint32_t holds;     /* What may wake the loop, and it does not know. */
    _Atomic(rill__mail *) mail; /* The newest message. */
    _Atomic uint32_t mailers;   /* Who touch the loop just now to post one. */

    rill__spin spin;
    rill__soons soons;
    rill__slab user_timers;
    rill__slab operations;
    rill__slab transports;
    rill__pool pool;

    struct rill_chunk *hot; /* The receive buffer. */
    size_t hot_bytes;
    size_t held_bytes;
    size_t held_bytes_max;

    rill__watches *watches; /* NULL before the first one. */

    unsigned char *stage; /* Bytes gathered in a callback: owned by transports/stream.c. */
    size_t stage_len;

    rill__inbox *inbox;
    rill__link objects[RILL__OBJECT_KINDS];
    const rill__object_ops *object_ops[RILL__OBJECT_KINDS];
    size_t object_count[RILL__OBJECT_KINDS];
    uint64_t transports_made;
    uint64_t turns;
    _Atomic uint64_t *turns_shown; /* Or NULL: a copy that others may read. */
    rill_ns slow_callback;

    rill_allocator allocator;
    size_t memory[RILL_TAG_COUNT];

    rill_log_fn log;
    void *log_arg;
    rill_log_level log_level;
    rill_error_handler error_handler;
    void *error_handler_arg;
    rill_reason last_error;
    char last_error_text[256];

    rill__timers timers;
};

/* The loop that runs in this thread. */
extern __thread rill_loop *rill__running __attribute__((tls_model("initial-exec")));
/* Bumped in every forked child. */
extern uint32_t rill__fork_generation;

extern const rill_allocator rill__default_allocator;

/* Remember why a call fails and return `code`. The sentence is formatted into the loop. */
RILL__RARE int
rill__fail(rill_loop *loop, int code, rill_layer layer, const char *format, ...) RILL_PRINTF(4, 5);

/* The same where the code says it all: -ENOMEM from below, RILL_ECLOSED in rill_loop_free. */
RILL__RARE int rill__fail_call(rill_loop *loop, int code, const char *call);

_Noreturn RILL__RARE void rill__panic_thread(const rill_loop *loop, const char *function);

/* Every public call on a loop passes here: two loads and a compare. */
static inline void
rill__check_thread(const rill_loop *loop, const char *function)
{
    if (RILL__UNLIKELY(loop->running && rill__running != loop))
        rill__panic_thread(loop, function);
}

/* There is mail. */
static inline bool
rill__mail_is_there(const rill_loop *loop)
{
    return atomic_load_explicit(&loop->mail, memory_order_acquire) != NULL;
}

/* Callbacks on the ready list. */
static inline size_t
rill__loop_ready(const rill_loop *loop)
{
    return (size_t)(loop->queued - loop->ran);
}

/* At the head of a public function that returns a code: an object or a result's place is
 * missing. */
#define RILL__REQUIRE(condition)          \
    do {                                  \
        if (RILL__UNLIKELY(!(condition))) \
            return RILL_EINVAL;           \
    } while (0)

/* Is it the loop's thread and process that asks, and for something? */
static inline bool
rill__may_ask(const rill_loop *loop, rill_callback fn)
{
    return RILL__LIKELY(loop->fork_generation == rill__fork_generation &&
                        (!loop->running || rill__running == loop) && fn != NULL);
}

/* May something be scheduled? If not, rill__may_not_schedule says why (or panics). */
static inline bool
rill__may_schedule(const rill_loop *loop, rill_callback fn)
{
    return rill__may_ask(loop, fn) && RILL__LIKELY(!loop->freeing);
}

RILL__RARE int rill__may_not_schedule(rill_loop *loop, rill_callback fn, const char *function);

/* For marks; all else goes through rill__loop_push. */
static inline void
rill__loop_append(rill_loop *loop, rill__ready *node)
{
    node->next = NULL;
    if (loop->ready_tail != NULL)
        loop->ready_tail->next = node;
    else
        loop->ready_head = node;
    loop->ready_tail = node;
}

/* Append what counts as one callback. */
static inline void
rill__loop_push(rill_loop *loop, rill__ready *node)
{
    rill__loop_append(loop, node);
    rill__soons_interrupt(&loop->soons);
    loop->queued++;
}

/* What rill_loop_free needs of a turn: a whole one that waits until `until`; what is ready now;
 * what ended. */
int rill__loop_turn(rill_loop *loop, rill_ns until);
void rill__loop_run_ready(rill_loop *loop);
void rill__loop_run_reap(rill_loop *loop);

/* Wait for the driver until `deadline`, and let other threads know that they must wake us. */
int rill__loop_sleep(rill_loop *loop, rill_ns deadline);

void rill__op_run(rill__ready *ready);

/* rill__loop_push_op, for the hot path. */
static inline void
rill__push_op(rill_loop *loop, rill__op *op)
{
    if (op->queued)
        return;
    op->queued = true;
    op->ready.run = rill__op_run;
    rill__loop_push(loop, &op->ready);
}

/* Take a node off the ready list, wherever it is: linear, for the rare case that its memory goes
 * before its turn comes. */
void rill__loop_unlink(rill_loop *loop, rill__ready *node);

/* Run `node` at the end of the present turn (or of the next one when none runs). */
static inline void
rill__loop_reap(rill_loop *loop, rill__ready *node)
{
    node->next = loop->reap;
    loop->reap = node;
}

/* `delay` after `now`: the end of time at the latest. A past before the clock's start keeps its
 * order. */
static inline rill_ns
rill__after(rill_ns now, rill_ns delay)
{
    return delay > 0 && now > INT64_MAX - delay ? INT64_MAX : now + delay;
}

/* The turn's time. */
static inline rill_ns
rill__loop_now(rill_loop *loop)
{
    if (!loop->now_valid) {
        loop->now = loop->ops->now(loop->driver);
        loop->now_valid = true;
    }
    return loop->now;
}

/* Ask for `fn(object)` once when the present callback has returned; one at a time. */
static inline void
rill__loop_set_epilogue(rill_loop *loop, void (*fn)(void *), void *object)
{
    loop->epilogue = fn;
    loop->epilogue_object = object;
}

void rill__loop_run_epilogue(rill_loop *loop);

/* ---- reports (report.c) ---- */

/* For who has no loop: to `log`, or to stderr when that is NULL. */
void rill__log_to(rill_log_fn log, void *arg, rill_log_level level, const char *text);

void rill__log(rill_loop *loop, rill_log_level level, const char *format, ...) RILL_PRINTF(3, 4);

void rill__report(rill_loop *loop, enum rill_error_kind kind, int code, const char *site,
    rill_transport *transport, rill_server *server, const char *format, ...) RILL_PRINTF(7, 8);

/* Copy a sized options struct over defaults of zero. Returns 0, or RILL_EINVAL for size 0 or for
 * unknown fields that are set. */
int rill__options_copy(rill_loop *loop, const char *what, const void *options, size_t size,
    void *ret_copy, size_t known);

/* ---- receive buffers (slice.c) ---- */

void rill__chunk_free_hot(rill_loop *loop);

#endif
