/*
 * The demo's frame: a scene measures one claim and says whether it held.
 *
 * A scene runs in a process of its own, with a time limit; whatever it starts dies with it. A new
 * scene is one file scene_NAME.c and one line in the table of main.c.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DEMO_FIELDS_MAX = 64 };

/* What a scene found; lies in memory that it shares with main.c. */
struct demo_result {
    bool done; /* Set last: the scene came to its end. */
    bool passed;
    char text[200]; /* The numbers, for a person; ASCII without quotes. */
    size_t fields_count;
    struct {
        char name[40];
        double value;
    } fields[DEMO_FIELDS_MAX]; /* The numbers, for a machine. */
};

struct demo_scene {
    const char *name;
    int limit_seconds;
    void (*play)(struct demo_result *result);
};

void scene_children(struct demo_result *result);
void scene_echo(struct demo_result *result);
void scene_idle(struct demo_result *result);
void scene_restart(struct demo_result *result);
void scene_slow_reader(struct demo_result *result);
void scene_storm(struct demo_result *result);
void scene_tasks(struct demo_result *result);
void scene_udp(struct demo_result *result);

/* What rill_demo --restart-server does: be a server of scene_restart. */
int scene_restart_server(void);

/* Add a number to the machine-readable copy; the name carries the unit. */
void demo_field(struct demo_result *result, const char *name, double value);

/* End the scene's process: the claim could not be measured, and why. */
_Noreturn void demo_fail(struct demo_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A server process of a scene: `serve` binds a port of its own, tells it by demo_ready, and serves
 * until it is killed. It dies with the scene. */
struct demo_server {
    pid_t pid;
    int port;
};

typedef void (*demo_serve_fn)(int ready_fd, void *arg);

/* Returns 0, or -1 when the server did not get ready within five seconds. */
int demo_server_start(demo_serve_fn serve, void *arg, struct demo_server *ret_server);
void demo_server_stop(struct demo_server *server);
void demo_ready(int ready_fd, int port);

/* Memory that a scene and its servers share, zeroed. Ends the process when there is none. */
void *demo_share(size_t size);

/* Processor time of a process in nanoseconds, or -1. */
int64_t demo_cpu_ns(pid_t pid);

/* Memory of a process in bytes, or -1: its share (PSS), all of it (RSS), the most it ever was. */
int64_t demo_pss_bytes(pid_t pid);
int64_t demo_rss_bytes(pid_t pid);
int64_t demo_rss_peak_bytes(pid_t pid);

/* CLOCK_MONOTONIC */
int64_t demo_now_ns(void);
void demo_sleep_ns(int64_t duration);

double demo_median(double *values, size_t count);

/* Move the calling process to the n-th of the processors that we may use; nothing when there are
 * fewer. Keeps a server and its load from taking turns on one. */
void demo_pin(int n);

/* A connected blocking TCP socket to a port of this machine, or -1. */
int demo_dial(int port);

/* Close with a reset: thousands of closed connections must not keep ports busy for a minute. */
void demo_hang_up(int fd);

#endif
