/*
 * How many connections each peer address has, for connections_per_peer_max.
 *
 * A chained hash table; the peers choose the keys, so the hash is keyed with random bytes (SipHash
 * 1-3 over the address). Made only for servers with that limit. Loop thread only.
 */
#include "core/addr.h"
#include "transports/server.h"

struct peer {
    struct peer *next;
    size_t connections;
    size_t len;
    uint8_t host[16];
};

static uint64_t
rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t
hash(const uint64_t key[2], const uint8_t host[16], size_t len)
{
    uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573) };
    uint64_t words[3] = { 0, 0, (uint64_t)len << 56 };

    memcpy(words, host, 16); /* Zeroed behind `len`. */
    for (int i = 0; i < 3; i++) {
        v[3] ^= words[i];
        sip_round(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct peer **
find(peers *p, const uint8_t host[16], size_t len)
{
    struct peer **link = &p->buckets[hash(p->key, host, len) & (p->bucket_count - 1)];

    while (*link != NULL && ((*link)->len != len || memcmp((*link)->host, host, len) != 0))
        link = &(*link)->next;
    return link;
}

static bool
grow(rill_server *server)
{
    peers *p = &server->peers;
    peers old = *p;
    size_t bucket_count = old.bucket_count != 0 ? old.bucket_count * 2 : 64;
    struct peer **buckets =
        rill__alloc_zeroed(server->loop, bucket_count * sizeof(*buckets), RILL_TAG_SERVER);

    if (buckets == NULL)
        return old.bucket_count != 0; /* Longer chains will do. */
    if (old.bucket_count == 0)
        server->loop->sys->entropy(server->loop->driver, p->key, sizeof(p->key));
    p->buckets = buckets;
    p->bucket_count = bucket_count;
    for (size_t i = 0; i < old.bucket_count; i++) {
        while (old.buckets[i] != NULL) {
            struct peer *peer = old.buckets[i];

            old.buckets[i] = peer->next;
            peer->next = NULL;
            *find(p, peer->host, peer->len) = peer;
        }
    }
    rill__free(server->loop, old.buckets, old.bucket_count * sizeof(*old.buckets), RILL_TAG_SERVER);
    return true;
}

bool
rill__peers_add(rill_server *server, const rill_addr *addr, size_t max)
{
    peers *p = &server->peers;
    uint8_t host[16] = { 0 };
    size_t len = rill__addr_host(addr, host);
    struct peer **link;

    if (len == 0)
        return true;
    if (p->count >= p->bucket_count && !grow(server))
        return false;
    link = find(p, host, len);
    if (*link == NULL) {
        *link = rill__alloc_zeroed(server->loop, sizeof(**link), RILL_TAG_SERVER);
        if (*link == NULL)
            return false;
        memcpy((*link)->host, host, 16);
        (*link)->len = len;
        p->count++;
    }
    if ((*link)->connections >= max)
        return false;
    (*link)->connections++;
    return true;
}

void
rill__peers_remove(rill_server *server, const rill_addr *addr)
{
    peers *p = &server->peers;
    uint8_t host[16] = { 0 };
    size_t len = rill__addr_host(addr, host);
    struct peer **link;
    struct peer *peer;

    if (len == 0 || p->bucket_count == 0)
        return;
    link = find(p, host, len);
    peer = *link;
    rill__check(peer != NULL && peer->connections > 0);
    if (--peer->connections > 0)
        return;
    *link = peer->next;
    p->count--;
    rill__free(server->loop, peer, sizeof(*peer), RILL_TAG_SERVER);
}

void
rill__peers_done(rill_server *server)
{
    peers *p = &server->peers;

    assert(p->count == 0);
    rill__free(server->loop, p->buckets, p->bucket_count * sizeof(*p->buckets), RILL_TAG_SERVER);
}
