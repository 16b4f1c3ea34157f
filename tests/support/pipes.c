/*
 * Two transports over the ends of one pipe.
 */
#include "pipes.h"

void
pipe_descriptors(harness *h, int *ret_read, int *ret_write)
{
    assert_code(rill_pipe(h->loop, 0, ret_read, ret_write), 0);
}

void
pipe_connect_reader(pipe_ends *p, int fd)
{
    assert_code(
        rill_connect_read_pipe(p->h->loop, fd, NULL, &endpoint_protocol, &p->reads, NULL), 0);
    assert_false(p->reads.made);
    harness_until(p->h, endpoint_is_made, &p->reads);
}

void
pipe_connect_writer(pipe_ends *p, int fd, const rill_transport_options *options)
{
    assert_code(
        rill_connect_write_pipe(p->h->loop, fd, options, &endpoint_protocol, &p->writes, NULL), 0);
    assert_false(p->writes.made);
    harness_until(p->h, endpoint_is_made, &p->writes);
}

void
pipe_open(pipe_ends *p, harness *h, const rill_transport_options *options)
{
    int read_fd;
    int write_fd;

    if (p->h == NULL) {
        p->h = h;
        endpoint_init(&p->reads, h);
        endpoint_init(&p->writes, h);
    }
    pipe_descriptors(h, &read_fd, &write_fd);
    pipe_connect_reader(p, read_fd);
    pipe_connect_writer(p, write_fd, options);
}

static void
close_end(endpoint *e)
{
    if (!e->made || e->lost)
        return;
    rill_transport_close(e->t);
    harness_until(e->h, endpoint_is_lost, e);
}

void
pipe_close(pipe_ends *p)
{
    if (p->h == NULL)
        return;
    if (p->reads.made && !p->reads.lost) /* So that the writer can flush. */
        rill_transport_resume_reading(p->reads.t);
    close_end(&p->writes);
    close_end(&p->reads);
    memset(p, 0, sizeof(*p));
}

uint64_t
pipe_fill(pipe_ends *p)
{
    uint64_t written = 0;

    while (rill_transport_write_buffer_size(p->writes.t) == 0) {
        (void)endpoint_send_stream(&p->writes, written, 10000);
        written += 10000;
        assert_true(written < 100000000);
    }
    return written;
}
