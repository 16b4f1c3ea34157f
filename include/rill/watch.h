/*
 * Readiness of descriptors that are not the loop's: sockets of another library, an inotify or timer
 * descriptor, a device. asyncio's add_reader and add_writer.
 *
 *     static void
 *     on_readable(void *arg)
 *     {
 *         ssize_t got = read(fd, buf, sizeof(buf)); // -1 with EAGAIN is possible: go on waiting.
 *         ...
 *     }
 *
 *     rc = rill_add_reader(loop, fd, on_readable, NULL);
 *
 * A descriptor has one reader and one writer, independent of each other. A callback runs once in
 * each turn in which its descriptor is ready, until it is removed: it may read all or a part, and
 * must take it when there is nothing after all. Descriptors should be non-blocking.
 *
 * Remove a descriptor's callbacks before you close it. The kernel forgets a closed one without a
 * word; what is then opened under the same number would be taken for the old one.
 *
 * On the simulator these are descriptors of its world (see rill_sock_open in <rill/sock.h>).
 *
 * All functions are for the loop's thread, inside callbacks too.
 */
#ifndef RILL_WATCH_H
#define RILL_WATCH_H

#include <rill/loop.h>

RILL_BEGIN

/*
 * Call `fn(arg)` whenever `fd` can be read: bytes, a connection, the end or an error are there. It
 * takes the place of an earlier reader, which does not run any more, even when it was due in this
 * turn. A hang-up tells the reader and the writer. The descriptor stays yours. A callback that is
 * there keeps the loop from telling a deadlock; one that is left when the loop is freed counts as
 * a leftover.
 *
 * Returns 0; RILL_EINVAL without `fn`; -EBADF; RILL_EBUSY when a transport or a server of this loop
 * has the descriptor, or a task is waiting for it (rill_sock_recv and so on); -EPERM when it cannot
 * be waited for, such as a regular file, which is always ready (see <rill/file.h>); -ENOSPC, the
 * user's watches are at their limit; RILL_ECLOSED in rill_loop_free; RILL_EFORK; -ENOMEM. asyncio:
 * add_reader.
 */
#define rill_add_reader(loop, fd, fn, arg) rill_add_reader_site(loop, fd, fn, arg, RILL_SITE(#fn))
RILL_API int
rill_add_reader_site(rill_loop *loop, int fd, rill_callback fn, void *arg, const char *site);

/* The same for writing: bytes can be taken, a connect has ended, or there is an error. asyncio:
 * add_writer. */
#define rill_add_writer(loop, fd, fn, arg) rill_add_writer_site(loop, fd, fn, arg, RILL_SITE(#fn))
RILL_API int
rill_add_writer_site(rill_loop *loop, int fd, rill_callback fn, void *arg, const char *site);

/* The callback does not run from here on, not even when it is due in this turn. When the other one
 * is gone, too, the loop knows nothing of the descriptor any more. Returns false when there was
 * none. asyncio: remove_reader, remove_writer. */
RILL_API bool rill_remove_reader(rill_loop *loop, int fd);
RILL_API bool rill_remove_writer(rill_loop *loop, int fd);

RILL_END

#endif
