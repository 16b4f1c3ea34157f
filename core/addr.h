/*
 * Addresses for the floors inside: as sockaddr, and by parts.
 */
#ifndef RILL__ADDR_H
#define RILL__ADDR_H

#include <rill/addr.h>

void rill__addr_set(rill_addr *addr, const void *sockaddr, size_t len);
const void *rill__addr_sockaddr(const rill_addr *addr);
void rill__addr_set_port(rill_addr *addr, int port);

/* The bytes of the host without port and zone; 0 for others than IP. */
size_t rill__addr_host(const rill_addr *addr, uint8_t ret_bytes[16]);

/* The index of a network interface by name, 0 for none (core/driver/zone.c). */
uint32_t rill__zone_index(const char *name);

#endif
