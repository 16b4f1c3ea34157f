/*
 * What time is it? A client of the Simple Network Time Protocol (RFC 4330), and a server for it.
 *
 * Shows: a question and its answer over datagrams in a task; a time limit and another try, since
 * either may be lost; an error of the network told where it is waited for.
 *
 * Run:     ./sntp HOST PORT       (123 is the usual one)
 *          ./sntp --serve         then: ./sntp 127.0.0.1 PORT
 * Prints:  the clock there is 0.000041 s ahead, and 0.000112 s away
 */
#include <rill/rill.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PACKET  48
#define TRIES   3
#define TO_1900 2208988800.0 /* Seconds from there to 1970. */
#define CLIENT  0x23         /* Version 4, mode 3; a server's is 4. */
#define SERVER  0x24

static double
clock_now(void)
{
    struct timespec now;

    (void)timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Seconds since 1900, with 32 bits behind the point. */
static void
put_time(uint8_t *at, double time)
{
    double seconds;
    double fraction = modf(time + TO_1900, &seconds);
    uint64_t bits = (uint64_t)seconds << 32 | (uint64_t)(fraction * 4294967296.0);

    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(bits >> (56 - 8 * i));
}

static double
get_time(const uint8_t *at)
{
    uint64_t bits = 0;

    for (int i = 0; i < 8; i++)
        bits = bits << 8 | at[i];
    return (double)(bits >> 32) + (double)(uint32_t)bits / 4294967296.0 - TO_1900;
}

/* ---- the server ---- */

static int
serve(void *unused)
{
    char text[RILL_ADDR_TEXT];
    uint8_t packet[PACKET];
    rill_received from;
    rill_datagram *d;
    rill_addr addr;
    int64_t n;

    (void)unused;
    RILL_TRY(rill_datagram_open(&RILL_DATAGRAM_OPTIONS(.local_host = "127.0.0.1"), &d));
    (void)rill_transport_sockname(rill_datagram_transport(d), &addr);
    printf("listening on %s\n", rill_addr_format(&addr, text, sizeof(text)));
    fflush(stdout);
    while ((n = rill_datagram_recv(d, packet, sizeof(packet), &from)) != RILL_ECANCELED) {
        if (n != PACKET || packet[0] != CLIENT)
            continue; /* Not a question, or an error of another one's answer. */
        memcpy(packet + 24, packet + 40, 8);
        packet[0] = SERVER;
        packet[1] = 1;
        put_time(packet + 32, clock_now());
        put_time(packet + 40, clock_now());
        RILL_IGNORE(rill_datagram_send(d, packet, sizeof(packet), &from.from));
    }
    rill_datagram_close(d);
    return 0;
}

/* ---- the client ---- */

struct where {
    const char *host;
    int port;
};

static int64_t
ask_once(rill_datagram *d, uint8_t packet[PACKET], double *ret_sent)
{
    rill_scope limit;
    int64_t n;

    memset(packet, 0, PACKET);
    packet[0] = CLIENT;
    *ret_sent = clock_now();
    put_time(packet + 40, *ret_sent);
    rill_timeout_begin(&limit, RILL_S);
    n = rill_datagram_send(d, packet, PACKET, NULL);
    if (n == 0)
        n = rill_datagram_recv(d, packet, PACKET, NULL);
    return rill_scope_end(&limit, n < 0 ? (int)n : 0) < 0 ? (n < 0 ? n : RILL_ETIMEDOUT) : n;
}

static int
ask(void *arg)
{
    const struct where *where = arg;
    uint8_t packet[PACKET];
    rill_datagram *d;
    int64_t n = 0;
    double sent = 0;
    double there;
    double now;

    RILL_TRY(
        rill_datagram_open(&RILL_DATAGRAM_OPTIONS(.host = where->host, .port = where->port), &d));
    for (int i = 0; i < TRIES && n != PACKET; i++)
        n = ask_once(d, packet, &sent);
    now = clock_now();
    rill_datagram_close(d);
    if (n < 0)
        fprintf(stderr, "sntp: %s\n", rill_strerror((int)n));
    else if (n != PACKET || packet[0] != SERVER)
        fprintf(stderr, "sntp: that is no answer\n");
    if (n != PACKET || packet[0] != SERVER)
        return RILL_EUSER;
    there = (get_time(packet + 32) + get_time(packet + 40)) / 2 - (sent + now) / 2;
    printf("the clock there is %.6f s %s, and %.6f s away\n", fabs(there),
        there < 0 ? "behind" : "ahead", now - sent);
    return 0;
}

int
main(int argc, char **argv)
{
    struct where where = { .host = argc > 1 ? argv[1] : "127.0.0.1",
        .port = argc > 2 ? atoi(argv[2]) : 123 };
    int rc =
        argc > 1 && strcmp(argv[1], "--serve") == 0 ? rill_run(serve, NULL) : rill_run(ask, &where);

    return rc < 0 && rc != RILL_EINTERRUPTED;
}
