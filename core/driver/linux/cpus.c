/*
 * How many CPUs there are for us: the affinity mask, and the quotas of control groups (version 2:
 * cpu.max of our own group and of those above; version 1: cpu.cfs_quota_us and its period).
 *
 * What cannot be read or understood is no limit. No state; any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/driver/host.h"

#define FILE_BYTES 4096
#define PATH_BYTES 4096
#define SETS       8 /* The kernel's mask may be longer than one cpu_set_t: 8192 CPUs. */
#define LEVELS_MAX 64
#define QUOTA_MAX  100000 /* More CPUs than there are: no limit. */

/* Returns the number of CPUs in the mask of this thread, or -errno. */
static int
read_mask(cpu_set_t sets[SETS])
{
    memset(sets, 0, SETS * sizeof(sets[0]));
    if (sched_getaffinity(0, SETS * sizeof(sets[0]), sets) < 0)
        return -errno;
    return CPU_COUNT_S(SETS * sizeof(sets[0]), sets);
}

int
rill__host_cpus(void)
{
    cpu_set_t sets[SETS];
    int count = read_mask(sets);

    return count > 0 ? count : 1;
}

int
rill__host_pin(int nth)
{
    cpu_set_t sets[SETS], one[SETS];
    int count = read_mask(sets);

    if (count <= 0)
        return count < 0 ? count : -EINVAL;
    nth %= count;
    for (size_t cpu = 0; cpu < SETS * sizeof(sets[0]) * 8; cpu++) {
        if (!CPU_ISSET_S(cpu, sizeof(sets), sets) || nth-- > 0)
            continue;
        memset(one, 0, sizeof(one));
        CPU_SET_S(cpu, sizeof(one), one);
        return sched_setaffinity(0, sizeof(one), one) < 0 ? -errno : 0;
    }
    return -EINVAL;
}

/* Digits only, up to what an int64_t holds; -1 otherwise. `text` moves behind them. */
static int64_t
read_number(const char **text)
{
    int64_t number = 0;
    const char *p = *text;

    if (*p < '0' || *p > '9')
        return -1;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (number > (INT64_MAX - 9) / 10)
            return -1;
        number = number * 10 + (*p - '0');
    }
    *text = p;
    return number;
}

int
rill__host_quota_parse(const char *text)
{
    int64_t quota = read_number(&text);
    int64_t period;
    int64_t cpus;

    if (quota <= 0 || (*text != ' ' && *text != '\n'))
        return 0;
    text++;
    period = read_number(&text);
    if (period <= 0 || (*text != '\0' && *text != '\n'))
        return 0;
    cpus = quota / period + (quota % period != 0);
    return cpus <= QUOTA_MAX ? (int)cpus : 0;
}

/* The file's text, cut at FILE_BYTES; an empty one when there is none. */
static void
read_file(const char *path, char text[FILE_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t got = 0;

    while (
        fd >= 0 && len < FILE_BYTES - 1 && (got = read(fd, text + len, FILE_BYTES - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    if (fd >= 0)
        (void)close(fd);
}

static int
least(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The quota of one group: version 2 has one file, version 1 two. */
static int
quota_of(const char *root, const char *controller, const char *group, size_t group_len)
{
    char path[PATH_BYTES], text[FILE_BYTES * 2];
    size_t len;

    if (controller == NULL) {
        snprintf(path, sizeof(path), "%s%.*s/cpu.max", root, (int)group_len, group);
        read_file(path, text);
        return rill__host_quota_parse(text);
    }
    snprintf(
        path, sizeof(path), "%s/%s%.*s/cpu.cfs_quota_us", root, controller, (int)group_len, group);
    read_file(path, text);
    len = strcspn(text, "\n");
    text[len] = ' ';
    snprintf(
        path, sizeof(path), "%s/%s%.*s/cpu.cfs_period_us", root, controller, (int)group_len, group);
    read_file(path, text + len + 1);
    return rill__host_quota_parse(text);
}

/* The least of a group and of all above it; the root's own too, which a container sees as its. */
static int
quota_up(const char *root, const char *controller, const char *group)
{
    size_t len = strlen(group);
    int quota = 0;

    for (int level = 0; level < LEVELS_MAX; level++) {
        while (len > 0 && group[len - 1] == '/')
            len--;
        quota = least(quota, quota_of(root, controller, group, len));
        if (len == 0)
            break;
        while (len > 0 && group[len - 1] != '/')
            len--;
    }
    return quota;
}

/* "cpu" among "cpu,cpuacct"? */
static bool
has_cpu(const char *controllers)
{
    for (const char *p = controllers; p != NULL; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, "cpu", 3) == 0 && (p[3] == ',' || p[3] == '\0'))
            return true;
    }
    return false;
}

/* Lines of "number:controllers:group"; of version 2 the controllers are empty. */
int
rill__host_quota(const char *membership, const char *root)
{
    char text[FILE_BYTES];
    char *rest = text;
    char *line;
    int quota = 0;

    read_file(membership, text);
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL || group[1] != '/')
            continue;
        *group++ = '\0';
        controllers++;
        if (*controllers == '\0')
            quota = least(quota, quota_up(root, NULL, group));
        else if (has_cpu(controllers))
            quota = least(quota, quota_up(root, controllers, group));
    }
    return quota;
}
