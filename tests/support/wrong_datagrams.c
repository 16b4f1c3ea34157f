/*
 * Wrong calls of <rill/datagram.h>.
 */
#include "dgrams.h"
#include "tasks.h"
#include "wrong.h"

#include <errno.h>

static dend end;
static rill_transport *t;

static int
create(const rill_datagram_options *options)
{
    return rill_create_datagram_endpoint(h.loop, options, &dend_protocol, &end, &out.a);
}

static void
try_creating(void)
{
    static const rill_datagram_protocol unsized = { .size = 0 };
    static const rill_datagram_options good = { .size = sizeof(good), .local_host = "127.0.0.1" };
    const rill_addr empty = { .len = 0 };

    WRONG(RILL_EINVAL, rill_create_datagram_endpoint(NULL, &good, &dend_protocol, &end, &out.a));
    WRONG(RILL_EINVAL, rill_create_datagram_endpoint(h.loop, &good, NULL, &end, &out.a));
    WRONG(RILL_EINVAL, rill_create_datagram_endpoint(h.loop, &good, &unsized, &end, &out.a));
    WRONG(RILL_EINVAL, create(NULL));
    WRONG(RILL_EINVAL, create(unsized_options));
    WRONG(RILL_EINVAL, create(unknown_options));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS()));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS(.family = (rill_family)9)));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS(.local_addr = &empty)));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS(.addr = &empty)));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS(.local_path = "")));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS(.local_host = "::1", .local_port = -1)));
    WRONG(RILL_EINVAL, create(&RILL_DATAGRAM_OPTIONS(.host = "::1", .port = 65536)));
    WRONG(RILL_EINVAL,
        create(&RILL_DATAGRAM_OPTIONS(.local_host = "::1", .transport = unsized_options)));
    WRONG(RILL_EADDRESS, create(&RILL_DATAGRAM_OPTIONS(.local_host = "nowhere")));
    WRONG(RILL_EINVAL, rill_adopt_datagram_socket(NULL, 0, NULL, &dend_protocol, &end, &out.a));
    WRONG(RILL_EINVAL, rill_adopt_datagram_socket(h.loop, 0, NULL, NULL, &end, &out.a));
    WRONG(RILL_EINVAL, rill_adopt_datagram_socket(h.loop, 0, &good, &dend_protocol, &end, &out.a));
    WRONG(on_driver("sim") ? RILL_ENOTSUP : RILL_EINVAL,
        rill_adopt_datagram_socket(h.loop, -1, NULL, &dend_protocol, &end, &out.a));
}

static void
try_sending(void)
{
    const rill_addr empty = { .len = 0 };

    WRONG(RILL_EINVAL, rill_transport_sendto(NULL, "x", 1, NULL));
    WRONG(RILL_EINVAL, rill_transport_sendto(t, NULL, 1, &end.addr));
    WRONG(-EDESTADDRREQ, rill_transport_sendto(t, "x", 1, NULL));
    WRONG(-EAFNOSUPPORT, rill_transport_sendto(t, "x", 1, &empty));
}

static void
try_groups(void)
{
    WRONG(RILL_EINVAL, rill_transport_join(NULL, "239.1.2.3", NULL, NULL));
    WRONG(RILL_EINVAL, rill_transport_join(t, NULL, NULL, NULL));
    WRONG(RILL_EADDRESS, rill_transport_join(t, "10.0.0.1", NULL, NULL));
    WRONG(RILL_EADDRESS, rill_transport_join(t, "nowhere", NULL, NULL));
    WRONG(RILL_EADDRESS, rill_transport_join(t, "239.1.2.3", "nowhere", NULL));
    WRONG(RILL_EADDRESS, rill_transport_join(t, "239.1.2.3", NULL, "nowhere0"));
    WRONG(RILL_EINVAL, rill_transport_join(t, "ff02::123", NULL, NULL));
    WRONG(RILL_EINVAL, rill_transport_leave(NULL, "239.1.2.3", NULL, NULL));
    WRONG(RILL_EINVAL, rill_transport_leave(t, NULL, NULL, NULL));
    WRONG(-EADDRNOTAVAIL, rill_transport_leave(t, "239.1.2.3", NULL, NULL));
}

static void
try_telling(void)
{
    rill_datagram_stats stats = { .size = 0 };

    WRONG(RILL_EINVAL, rill_transport_get_datagram_stats(NULL, &stats));
    WRONG(RILL_EINVAL, rill_transport_get_datagram_stats(t, NULL));
    WRONG(RILL_EINVAL, rill_transport_get_datagram_stats(t, &stats));
    WRONG(RILL_EINVAL, rill_transport_set_datagram_protocol(NULL, &dend_protocol, NULL));
    WRONG(RILL_EINVAL, rill_transport_set_datagram_protocol(t, NULL, NULL));
    WRONG(RILL_EINVAL, rill_transport_set_option(t, RILL_OPTION_TTL, 0));
    WRONG(RILL_EINVAL, rill_transport_set_option(t, RILL_OPTION_TOS, 256));
    WRONG(RILL_EINVAL, rill_transport_set_option(t, RILL_OPTION_MULTICAST_TTL, -1));
    WRONG(RILL_EINVAL, rill_transport_set_option(t, RILL_OPTION_MULTICAST_LOOP, 2));
    WRONG(RILL_EINVAL, rill_transport_set_option(t, RILL_OPTION_MULTICAST_INTERFACE, -1));
}

static rill_datagram *socket_of_a_task;

static int
open_one(void *unused)
{
    (void)unused;
    return rill_datagram_open(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"), &socket_of_a_task);
}

/* Here no task runs: what only a task can ask is told RILL_ENOTASK where its arguments are
 * right. */
static void
try_a_tasks(void)
{
    rill_datagram *d = NULL;

    WRONG(RILL_EINVAL, rill_datagram_open(NULL, NULL));
    WRONG(RILL_ENOTASK, rill_datagram_open(NULL, &d));
    assert_code(tasks_run(&h, open_one, NULL), 0);
    harness_settle(&h);
    d = socket_of_a_task;
    WRONG(RILL_EINVAL, (int)rill_datagram_recv(NULL, out.numbers, 4, NULL));
    WRONG(RILL_EINVAL, (int)rill_datagram_recv(d, NULL, 4, NULL));
    WRONG(RILL_ENOTASK, (int)rill_datagram_recv(d, out.numbers, 4, NULL));
    WRONG(RILL_EINVAL, rill_datagram_send(NULL, "x", 1, NULL));
    WRONG(RILL_EINVAL, rill_datagram_send(d, NULL, 1, NULL));
    WRONG(RILL_ENOTASK, rill_datagram_send(d, "x", 1, NULL));
    IGNORED(rill_datagram_close(NULL));
    rill_datagram_close(d);
    harness_settle(&h);
}

void
wrong_datagrams(void)
{
    memset(&end, 0, sizeof(end));
    dend_open4(&end, &h);
    t = end.t;
    try_creating();
    try_sending();
    try_groups();
    try_telling();
    try_a_tasks();
    dend_close(&end);
    harness_settle(&h);
}
