/*
 * The echo server on bare epoll that rill is compared with; a demo_serve_fn.
 */
#ifndef DEMO_REFERENCE_H
#define DEMO_REFERENCE_H

void reference_serve(int ready_fd, void *arg);

#endif
