/*
 * Workers under test, and their clients. The protocol's orders: '?' is answered by '!'; 'e' has
 * main return -EPROTO, 'n' 7 and 'q' 0; 'a' aborts, 'k' kills the process, 'x' exits with 3; 'h'
 * holds the loop until the gate opens.
 */
#include "crew.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* Of the ends of all crews. */

/* A worker's own; each thread or process has one. */
typedef struct hand {
    rill_worker *worker;
    rill_loop *loop;
    rill_server *server;
    crew_board *board;
    int code;
} hand;

rill_ns
crew_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * RILL_S + ts.tv_nsec;
}

void
crew_pause(void)
{
    (void)poll(NULL, 0, 1);
}

const struct crew_form crew_forms[CREW_FORMS] = {
    { 0, RILL_ACCEPT_REUSEPORT },
    { 0, RILL_ACCEPT_HANDOVER },
    { 0, RILL_ACCEPT_SHARED },
    { 1, RILL_ACCEPT_REUSEPORT },
    { 1, RILL_ACCEPT_HANDOVER },
    { 1, RILL_ACCEPT_SHARED },
};

/* ---- the workers' side ---- */

static void
wait_at_gate(crew_board *board)
{
    if (!atomic_load(&board->closed_gate))
        return;
    atomic_fetch_add(&board->waiting, 1);
    while (atomic_load(&board->closed_gate))
        crew_pause();
    atomic_fetch_sub(&board->waiting, 1);
}

static void
crew_made(rill_transport *t, void *self, void *arg)
{
    hand *me = arg;
    char greeting = (char)('a' + rill_worker_index(me->worker));

    *(hand **)self = me;
    rill_transport_write(t, &greeting, 1);
    if (rill_worker_is_stopping(me->worker) && atomic_load(&me->board->say_goodbye))
        rill_transport_close(t);
}

static void
die(int signal_number)
{
    struct rlimit no_core = { 0, 0 };

    setrlimit(RLIMIT_CORE, &no_core);
    signal(signal_number, SIG_DFL); /* cmocka catches some. */
    raise(signal_number);
}

static void
crew_data(rill_transport *t, void *self, rill_slice in)
{
    hand *me = *(hand **)self;

    for (size_t i = 0; i < in.len; i++) {
        switch (in.data[i]) {
        case '?':
            rill_transport_write(t, "!", 1);
            break;
        case 'e':
        case 'n':
        case 'q':
            me->code = in.data[i] == 'e' ? -EPROTO : in.data[i] == 'n' ? 7 : 0;
            rill_loop_stop(me->loop);
            break;
        case 'a':
            die(SIGABRT);
            break;
        case 'k':
            die(SIGKILL);
            break;
        case 'x':
            _exit(3);
        case 'h':
            wait_at_gate(me->board);
            break;
        default:
            abort();
        }
    }
}

static const rill_protocol crew_protocol = {
    .size = sizeof(rill_protocol),
    .state_size = sizeof(hand *),
    .connection_made = crew_made,
    .data_received = crew_data,
};

static void
say_goodbye(void *arg)
{
    hand *me = arg;

    if (me->server != NULL && atomic_load(&me->board->say_goodbye))
        rill_server_close_clients(me->server);
}

static void
note_cpus(crew_board *board, int index)
{
    cpu_set_t set;
    int first = 0;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return;
    while (first < CPU_SETSIZE && !CPU_ISSET(first, &set))
        first++;
    atomic_store(&board->cpus[index], CPU_COUNT(&set));
    atomic_store(&board->cpu[index], first);
}

int
crew_main(rill_worker *worker, rill_loop *loop, void *arg)
{
    crew *c = arg;
    hand me = { .worker = worker, .loop = loop, .board = c->board };
    rill_addr addr;
    int index = rill_worker_index(worker);
    int rc = 0;

    if (index == 0 && atomic_load(&c->board->bad_starts) > 0) {
        atomic_fetch_sub(&c->board->bad_starts, 1);
        return -ECONNABORTED;
    }
    note_cpus(c->board, index);
    if (rill_workers_sockname(rill_worker_workers(worker), 0, 0, &addr) == 0)
        rc = rill_worker_serve(worker, 0, &crew_protocol, &me, &me.server);
    if (rc < 0)
        return rc;
    rill_worker_on_stop(worker, say_goodbye, &me);
    atomic_fetch_add(&c->board->served[index], 1);
    wait_at_gate(c->board);
    rc = rill_loop_run(rill_worker_loop(worker));
    if (rc == 0)
        rc = me.code; /* No callback needs `me` after this: connections end without a word. */
    return rc;
}

/* ---- the test's side ---- */

static void
note_end(rill_workers *workers, const rill_worker_end *end, void *arg)
{
    crew *c = arg;

    (void)workers;
    pthread_mutex_lock(&lock);
    if (c->ends_count < CREW_ENDS_MAX) {
        crew_end *e = &c->ends[c->ends_count++];

        e->end = *end;
        e->at = crew_now();
        snprintf(e->sentence, sizeof(e->sentence), "%s", end->sentence);
        e->end.sentence = NULL;
    }
    pthread_mutex_unlock(&lock);
}

/* On the supervisor's thread, where no test can fail: what happened is looked at later. */
static void
note_ready(rill_workers *workers, void *arg)
{
    crew *c = arg;
    rill_addr addr;

    c->ready_client = -1;
    if (rill_workers_sockname(workers, 0, 0, &addr) == 0)
        c->ready_client = client_connect(&addr);
    atomic_fetch_add(&c->readies, 1);
}

void
crew_create(crew *c, const rill_workers_options *options)
{
    rill_workers_options o =
        options != NULL ? *options : RILL_WORKERS_OPTIONS(.accept = RILL_ACCEPT_REUSEPORT);

    memset(c, 0, sizeof(*c));
    c->descriptors = descriptor_count();
    c->board =
        mmap(NULL, sizeof(*c->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(c->board, MAP_FAILED);
    o.count = o.count != 0 ? o.count : 2;
    if (o.ready != NULL) {
        o.ready = note_ready;
        o.ready_arg = c;
    }
    o.ended = note_end;
    o.ended_arg = c;
    assert_code(rill_workers_create(&o, crew_main, c, &c->workers), 0);
}

void
crew_open(crew *c, const rill_workers_options *options, rill_server_options server)
{
    int place = -1;

    crew_create(c, options);
    server.size = sizeof(server);
    if (server.path == NULL && server.fds == NULL)
        server.host = "127.0.0.1";
    assert_code(rill_workers_listen(c->workers, &server, &place), 0);
    assert_int_equal(place, 0);
    assert_code(rill_workers_sockname(c->workers, 0, 0, &c->addr), 0);
}

static void *
runner(void *arg)
{
    crew *c = arg;

    c->rc = rill_workers_run(c->workers);
    return NULL;
}

void
crew_run(crew *c)
{
    assert_int_equal(pthread_create(&c->runner, NULL, runner, c), 0);
    c->running = true;
}

static bool
all_served(crew *c, int times)
{
    for (int i = 0; i < rill_workers_count(c->workers); i++) {
        if (atomic_load(&c->board->served[i]) < times)
            return false;
    }
    return true;
}

void
crew_await_served(crew *c, int times)
{
    AWAIT(all_served(c, times));
}

void
crew_join(crew *c)
{
    pthread_join(c->runner, NULL);
    c->running = false;
    assert_code(c->rc, 0);
    assert_code(rill_workers_run(c->workers), RILL_ESTATE);
    for (int i = 0; i < rill_workers_count(c->workers); i++) {
        assert_int_equal(crew_stats(c, i).state, RILL_WORKER_ENDED);
        assert_int_equal(crew_stats(c, i).live, 0);
    }
    rill_workers_free(c->workers);
    c->workers = NULL;
    munmap(c->board, sizeof(*c->board));
}

void
crew_close(crew *c)
{
    rill_workers_stop(c->workers);
    crew_join(c);
    assert_int_equal(descriptor_count(), c->descriptors);
}

void
crew_kill(crew *c)
{
    if (c->workers == NULL)
        return;
    crew_open_gate(c);
    rill_workers_stop(c->workers);
    if (c->running)
        pthread_join(c->runner, NULL);
    rill_workers_free(c->workers);
    c->workers = NULL;
}

void
crew_open_gate(crew *c)
{
    atomic_store(&c->board->closed_gate, false);
}

size_t
crew_ends(crew *c)
{
    size_t count;

    pthread_mutex_lock(&lock);
    count = c->ends_count;
    pthread_mutex_unlock(&lock);
    return count;
}

crew_end
crew_end_at(crew *c, size_t n)
{
    crew_end end;

    AWAIT(crew_ends(c) > n);
    pthread_mutex_lock(&lock);
    end = c->ends[n];
    pthread_mutex_unlock(&lock);
    return end;
}

rill_worker_stats
crew_stats(const crew *c, int index)
{
    rill_worker_stats stats = { .size = sizeof(stats) };

    assert_code(rill_workers_get_stats(c->workers, index, &stats), 0);
    return stats;
}

uint64_t
crew_live(const crew *c)
{
    uint64_t live = 0;

    for (int i = 0; i < rill_workers_count(c->workers); i++)
        live += crew_stats(c, i).live;
    return live;
}

/* ---- clients ---- */

/* A thread that has made a ring of io_uring is interrupted now and then while that ends. */
static int
finish_connect(int fd)
{
    struct pollfd event = { .fd = fd, .events = POLLOUT };
    int error = 0;
    socklen_t len = sizeof(error);

    while (poll(&event, 1, 20000) < 0 && errno == EINTR)
        continue;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return -error;
}

int
client_connect(const rill_addr *addr)
{
    struct timeval patience = { .tv_sec = 20 };
    int family = rill_addr_family(addr) == RILL_FAMILY_UNIX ? AF_UNIX : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)(const void *)addr->storage, addr->len) < 0) {
        int rc = errno == EINTR ? finish_connect(fd) : -errno;

        if (rc < 0) {
            close(fd);
            return rc;
        }
    }
    return fd;
}

int
client_read(int fd)
{
    unsigned char byte;
    ssize_t got;

    do
        got = recv(fd, &byte, 1, 0);
    while (got < 0 && errno == EINTR);
    return got == 1 ? byte : got == 0 ? 0 : -errno;
}

int
client_greeting(int fd)
{
    int letter = client_read(fd);

    return letter > 0 ? letter - 'a' : -1;
}

int
client_of(const rill_addr *addr, int *ret_index)
{
    int fd = client_connect(addr);

    assert_true(fd >= 0);
    *ret_index = client_greeting(fd);
    if (*ret_index < 0)
        fail_msg("a connection was not greeted: %s", strerror(errno));
    return fd;
}

void
client_tell(int fd, char order)
{
    assert_int_equal(send(fd, &order, 1, MSG_NOSIGNAL), 1);
}

int
client_ask(int fd, char order)
{
    client_tell(fd, order);
    return client_read(fd);
}

int
client_of_worker(const rill_addr *addr, int index)
{
    for (;;) {
        int found;
        int fd = client_of(addr, &found);

        if (found == index)
            return fd;
        close(fd);
    }
}
