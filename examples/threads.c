/*
 * Threads: files are hashed on the loop's pool, all at once, while a task on the loop goes on
 * ticking; another thread asks the loop how far it is.
 *
 * Shows: rill_to_thread, a group of tasks whose jobs run on several cores, arguments on the stack
 * of a task that waits, a cancel that lets a job come to its end, and rill_spawn_threadsafe.
 *
 * Run:     ./threads FILE...
 * Prints:  a line for each file, in the order of the arguments: its FNV-1a hash and its name
 *          ticked meanwhile, and was asked
 */
#include <rill/rill.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define FILES_MAX 64

struct file {
    const char *path;
    uint64_t hash;
    int rc;
};

struct app {
    struct file files[FILES_MAX];
    int count, hashed;
    int ticks, asked;
    rill_loop *loop;
};

/* On a thread of the pool: it may block and compute as long as it likes. */
static int
hash_file(void *arg)
{
    struct file *file = arg;
    unsigned char bytes[64 * 1024];
    FILE *in = fopen(file->path, "rb");
    size_t got;

    if (in == NULL)
        return RILL_EUSER;
    file->hash = UINT64_C(0xcbf29ce484222325);
    while ((got = fread(bytes, 1, sizeof(bytes), in)) > 0)
        for (size_t i = 0; i < got; i++)
            file->hash = (file->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    got = (size_t)ferror(in);
    fclose(in);
    return got != 0 ? RILL_EUSER : 0;
}

static struct app app;

/* A task for each file: it sleeps until its job is done. */
static int
hash_one(void *arg)
{
    struct file *file = arg;

    file->rc = rill_to_thread(hash_file, file);
    app.hashed++;
    return file->rc == RILL_ECANCELED ? file->rc : 0; /* One that failed spoils no other. */
}

/* Would stand still if anything held the loop. */
static int
tick(void *unused)
{
    (void)unused;
    for (;;) {
        RILL_TRY(rill_sleep(RILL_MS));
        app.ticks++;
    }
}

static int
how_far(void *unused)
{
    (void)unused;
    app.asked++;
    return app.hashed;
}

/* A thread that knows nothing of loops: it blocks for its answer. */
static void *
ask(void *unused)
{
    rill_cfuture *answer;

    if (rill_spawn_threadsafe(app.loop, how_far, NULL, NULL, &answer) < 0)
        return unused;
    if (rill_cfuture_wait(answer, 10 * RILL_S) < 0)
        fprintf(stderr, "no answer\n");
    rill_cfuture_free(answer);
    return unused;
}

/* In a job, as joining a thread blocks. */
static int
join(void *thread)
{
    return pthread_join(*(pthread_t *)thread, NULL) == 0 ? 0 : RILL_EUSER;
}

static int
run(void *unused)
{
    rill_task *ticker;
    rill_group group;
    pthread_t asker;
    int rc = 0;

    (void)unused;
    app.loop = rill_loop_running();
    if (pthread_create(&asker, NULL, ask, NULL) != 0)
        return RILL_EUSER;
    RILL_TRY(rill_spawn(tick, NULL, NULL, &ticker));
    rill_group_begin(&group);
    for (int i = 0; i < app.count && rc >= 0; i++)
        rc = rill_group_spawn(&group, hash_one, &app.files[i], NULL);
    rc = rill_group_end(&group, rc);
    if (rc == 0)
        rc = rill_to_thread(join, &asker);
    (void)rill_task_cancel(ticker, NULL);
    RILL_IGNORE(rill_join(ticker)); /* RILL_EREVOKED: as we wanted. */
    return rc;
}

int
main(int argc, char **argv)
{
    int failed = 0, rc;

    if (argc < 2 || argc > FILES_MAX + 1) {
        fprintf(stderr, "usage: threads FILE...\n");
        return 2;
    }
    app.count = argc - 1;
    for (int i = 0; i < app.count; i++)
        app.files[i].path = argv[i + 1];
    rc = rill_run(run, NULL);
    if (rc < 0) {
        fprintf(stderr, "%s\n", rill_strerror(rc));
        return 1;
    }
    for (int i = 0; i < app.count; i++) {
        failed += app.files[i].rc != 0;
        if (app.files[i].rc == 0)
            printf("%016" PRIx64 "  %s\n", app.files[i].hash, app.files[i].path);
        else
            printf("%16s  %s\n", "cannot be read", app.files[i].path);
    }
    printf("%s meanwhile, and was %s\n", app.ticks > 0 ? "ticked" : "stood still",
        app.asked == 1 ? "asked" : "not asked");
    return failed != 0;
}
