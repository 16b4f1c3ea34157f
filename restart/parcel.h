/*
 * What a restart hands over (parcel.c): descriptors with names, duplicated until they are sent.
 */
#ifndef RILL__RESTART_PARCEL_H
#define RILL__RESTART_PARCEL_H

#include "restart/internal.h"

typedef struct rill__parcel {
    rill__named *named;
    size_t count;
    size_t sent;
    bool greeted; /* HELLO is sent. */
} rill__parcel;

/* 0, or the error with its sentence; then nothing is held. */
int rill__parcel_pack(
    rill__parcel *parcel, rill_loop *loop, const rill_restart_item *items, size_t items_count);

/* Send as much as there is room for. 1: all of it; 0: more when the channel is writable; -errno. */
int rill__parcel_send(rill__parcel *parcel, int channel, int pid);

/* Close the duplicates that are left; then forget it all. */
void rill__parcel_close(rill__parcel *parcel);
void rill__parcel_free(rill__parcel *parcel, rill_loop *loop);

#endif
