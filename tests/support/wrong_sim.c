/*
 * Wrong arguments of the functions of <rill/sim.h>: of worlds, hosts, links, faults and peers.
 */
#include "wrong.h"

#include <errno.h>

static bool
never_met(void *arg)
{
    never(arg);
    return true;
}

static bool
never_tried(rill_sim *world, void *arg)
{
    (void)world;
    never(arg);
    return true;
}

static void
try_making_a_world(void)
{
    static const rill_sim_options bad[] = { { .size = 0 },
        RILL_SIM_OPTIONS(.profile = (rill_sim_profile)9),
        RILL_SIM_OPTIONS(.personality = (rill_sim_personality)9),
        RILL_SIM_OPTIONS(.recv_buffer = -1), RILL_SIM_OPTIONS(.send_buffer = 1),
        RILL_SIM_OPTIONS(.only_faults_count = 1) };

    WRONG(RILL_EINVAL, rill_sim_new(NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_new(unknown_options, &out.sim));
    for (EACH(i, bad)) {
        WRONG(RILL_EINVAL, rill_sim_new(&bad[i], &out.sim));
        WRONG(RILL_EINVAL, rill_sim_shrink(&bad[i], never_tried, NULL, out.numbers, 8, &out.count));
    }
    WRONG(RILL_EINVAL, rill_sim_shrink(NULL, NULL, NULL, out.numbers, 8, &out.count));
    WRONG(RILL_EINVAL, rill_sim_shrink(NULL, never_tried, NULL, NULL, 8, &out.count));
    WRONG(RILL_EINVAL, rill_sim_shrink(NULL, never_tried, NULL, out.numbers, 8, NULL));
    WRONG(RILL_EINVAL, rill_sim_loop_new(NULL, NULL, NULL, &out.loop));
    WRONG(RILL_EINVAL, rill_sim_loop_new(sim, NULL, NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_loop_new(sim, "nobody", NULL, &out.loop));
    WRONG(RILL_EINVAL, rill_sim_loop_new(sim, NULL, unsized_options, &out.loop));
    WRONG(RILL_EINVAL,
        rill_sim_loop_new(sim, NULL, &RILL_LOOP_OPTIONS(.recv_buffer_bytes = 1), &out.loop));
    SAYS(rill_sim_free(NULL) == 0);
}

static void
try_a_world(void)
{
    WRONG(RILL_EINVAL, rill_sim_host(NULL, "db", NULL));
    WRONG(RILL_EINVAL, rill_sim_host(sim, NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_host(sim, "", NULL));
    WRONG(RILL_EINVAL, rill_sim_host(sim, "a:b", NULL));
    WRONG(RILL_EINVAL, rill_sim_host(sim, "a name that is of 32 bytes or so", NULL));
    WRONG(RILL_EADDRESS, rill_sim_host(sim, "db", "db"));
    WRONG(-EADDRINUSE, rill_sim_host(sim, "db", "fdff::1"));
    WRONG(RILL_EINVAL, rill_sim_set_descriptors_max(NULL, NULL, 1));
    WRONG(RILL_EINVAL, rill_sim_set_descriptors_max(sim, "nobody", 1));
    WRONG(RILL_EINVAL, rill_sim_put_file(NULL, NULL, "/x"));
    WRONG(RILL_EINVAL, rill_sim_put_file(sim, "nobody", "/x"));
    WRONG(RILL_EINVAL, rill_sim_put_file(sim, NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_put_file(sim, NULL, ""));
    WRONG(RILL_EINVAL, rill_sim_put_file(sim, NULL, "@x"));
    WRONG(RILL_EINVAL, rill_sim_step(NULL));
    WRONG(RILL_EINVAL, rill_sim_run_for(NULL, 1));
    WRONG(RILL_EINVAL, rill_sim_run_until_idle(NULL));
    WRONG(RILL_EINVAL, rill_sim_run_until(NULL, never_met, NULL, 1));
    WRONG(RILL_EINVAL, rill_sim_run_until(sim, NULL, NULL, 1));
    WRONG(RILL_EINVAL, rill_sim_run_until(sim, never_met, NULL, -2));
    WRONG(RILL_EINVAL, rill_sim_call_later(NULL, 1, never, NULL));
    WRONG(RILL_EINVAL, rill_sim_call_later(sim, -1, never, NULL));
    WRONG(RILL_EINVAL, rill_sim_call_later(sim, 1, NULL, NULL));
    SAYS(rill_sim_descriptors(sim, "nobody") == 0);
    SAYS(strcmp(rill_sim_fault_name((rill_sim_fault)99), "unknown") == 0);
    SAYS(rill_sim_fault_count(sim, (rill_sim_fault)99) == 0);
    IGNORED(rill_sim_set_fault(sim, (rill_sim_fault)99, 1));
    IGNORED(rill_sim_inject(sim, (rill_sim_fault)99, 1));
}

static void
try_links(void)
{
    WRONG(RILL_EINVAL, rill_sim_link(NULL, NULL, NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_link(sim, "local", "nobody", NULL));
    WRONG(RILL_EINVAL, rill_sim_link(sim, NULL, NULL, unsized_options));
    WRONG(RILL_EINVAL, rill_sim_link(sim, NULL, NULL, unknown_options));
    WRONG(RILL_EINVAL, rill_sim_link(sim, NULL, NULL, &RILL_SIM_LINK_OPTIONS(.latency = -1)));
    WRONG(RILL_EINVAL, rill_sim_link(sim, NULL, NULL, &RILL_SIM_LINK_OPTIONS(.jitter = -1)));
    WRONG(RILL_EINVAL, rill_sim_link(sim, NULL, NULL, &RILL_SIM_LINK_OPTIONS(.loss = 1000001)));
    WRONG(RILL_EINVAL, rill_sim_partition(NULL, NULL, NULL, true));
    WRONG(RILL_EINVAL, rill_sim_partition(sim, "nobody", NULL, true));
    WRONG(RILL_EINVAL, rill_sim_lift(NULL, NULL, NULL));
    WRONG(RILL_EINVAL, rill_sim_lift(sim, NULL, "nobody"));
}

static void
try_peers(void)
{
    WRONG(RILL_EINVAL, rill_sim_dial(NULL, NULL, "127.0.0.1:80", &out.peer));
    WRONG(RILL_EINVAL, rill_sim_dial(sim, NULL, "127.0.0.1:80", NULL));
    WRONG(RILL_EINVAL, rill_sim_dial(sim, "nobody", "127.0.0.1:80", &out.peer));
    WRONG(RILL_EADDRESS, rill_sim_dial(sim, NULL, NULL, &out.peer));
    WRONG(RILL_EADDRESS, rill_sim_dial(sim, NULL, "127.0.0.1", &out.peer));
    WRONG(RILL_EADDRESS, rill_sim_dial(sim, NULL, "127.0.0.1:65536", &out.peer));
    WRONG(RILL_EADDRESS, rill_sim_dial(sim, NULL, "nobody:80", &out.peer));
    WRONG(RILL_EADDRESS, rill_sim_dial(sim, NULL, "unix:", &out.peer));
    WRONG(RILL_EINVAL, rill_sim_listen(NULL, NULL, "127.0.0.1:80", 1, &out.peer));
    WRONG(RILL_EINVAL, rill_sim_listen(sim, NULL, "127.0.0.1:80", 1, NULL));
    WRONG(RILL_EINVAL, rill_sim_listen(sim, NULL, "127.0.0.1:80", -1, &out.peer));
    WRONG(RILL_EINVAL, rill_sim_listen(sim, "nobody", "127.0.0.1:80", 1, &out.peer));
    WRONG(RILL_EADDRESS, rill_sim_listen(sim, NULL, "80", 1, &out.peer));
    WRONG(RILL_EINVAL, rill_sim_peer_accept(NULL, &out.peer));
    WRONG(RILL_EINVAL, rill_sim_peer_accept(peer, NULL));
    WRONG(RILL_EINVAL, rill_sim_peer_accept(peer, &out.peer));
    WRONG(RILL_EINVAL, rill_sim_peer_feed(NULL, "x", 1));
    WRONG(RILL_EINVAL, rill_sim_peer_feed(peer, NULL, 1));
    WRONG(RILL_EINVAL, rill_sim_peer_sockname(NULL, &out.addr));
    WRONG(RILL_EINVAL, rill_sim_peer_sockname(peer, NULL));
    WRONG(RILL_EINVAL, rill_sim_peer_peername(NULL, &out.addr));
    WRONG(RILL_EINVAL, rill_sim_peer_peername(peer, NULL));
    IGNORED(rill_sim_peer_dribble(peer, 0, -1));
    rill_sim_peer_reset(peer);
    WRONG(RILL_ECLOSED, rill_sim_peer_feed(peer, "x", 1));
    WRONG(-ENOTCONN, rill_sim_peer_sockname(peer, &out.addr));
    WRONG(-ENOTCONN, rill_sim_peer_peername(peer, &out.addr));
}

void
wrong_sim(void)
{
    try_making_a_world();
    try_a_world();
    try_links();
    try_peers();
}
