/* drivers: none */
/*
 * How many CPUs: quotas of control groups as the kernel writes them and as nobody should, on files
 * of our own; the affinity mask.
 */
#include "harness.h"

#include "core/driver/host.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static int
setup(void **unused)
{
    (void)unused;
    snprintf(root, sizeof(root), "/tmp/rill_cpus_XXXXXX");
    assert_non_null(mkdtemp(root));
    return 0;
}

static int
teardown(void **unused)
{
    char command[128];

    (void)unused;
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
    return 0;
}

/* Write a file below the scratch folder, with the folders it needs. */
static void
put(const char *path, const char *text)
{
    char full[256], *slash;
    FILE *file;

    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(full, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int
quota(void)
{
    char membership[128], groups[128];

    snprintf(membership, sizeof(membership), "%s/membership", root);
    snprintf(groups, sizeof(groups), "%s/groups", root);
    return rill__host_quota(membership, groups);
}

static void
test_one_line(void **unused)
{
    static const struct {
        const char *text;
        int cpus;
    } lines[] = {
        { "100000 100000\n", 1 },
        { "150000 100000\n", 2 },
        { "200000 100000", 2 },
        { "200001 100000\n", 3 },
        { "1 100000\n", 1 },
        { "1600000 50000\n", 32 },
        { "max 100000\n", 0 },
        { "max", 0 },
        { "", 0 },
        { "\n", 0 },
        { "100000", 0 },
        { "100000\n", 0 },
        { "100000 ", 0 },
        { "100000 0\n", 0 },
        { "0 100000\n", 0 },
        { "-1 100000\n", 0 },
        { "100000 -100000\n", 0 },
        { "100000 100000 100000\n", 0 },
        { " 100000 100000\n", 0 },
        { "1e5 100000\n", 0 },
        { "0x10 0x8\n", 0 },
        { "quota period\n", 0 },
        { "9223372036854775807 1\n", 0 },
        { "9223372036854775808 100000\n", 0 },
        { "99999999999999999999999999999999999999 100000\n", 0 },
        { "100000 99999999999999999999999999999999999999\n", 0 },
        { "\xff\xfe 100000\n", 0 },
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int cpus = rill__host_quota_parse(lines[i].text);

        if (cpus != lines[i].cpus)
            fail_msg("\"%s\" is %d, not %d", lines[i].text, cpus, lines[i].cpus);
    }
}

static void
test_version_2(void **unused)
{
    (void)unused;
    put("membership", "0::/a.slice/b.service\n");
    assert_int_equal(quota(), 0); /* No files at all. */
    put("groups/a.slice/b.service/cpu.max", "350000 100000\n");
    assert_int_equal(quota(), 4);
    put("groups/a.slice/cpu.max", "max 100000\n");
    assert_int_equal(quota(), 4);
    put("groups/a.slice/cpu.max", "200000 100000\n");
    assert_int_equal(quota(), 2); /* The parent's is less. */
    put("groups/cpu.max", "50000 100000\n");
    assert_int_equal(quota(), 1); /* And the root's, which is a container's own. */
    put("groups/a.slice/b.service/cpu.max", "");
    put("groups/a.slice/cpu.max", "nonsense\n");
    put("groups/cpu.max", "max 100000\n");
    assert_int_equal(quota(), 0);
}

static void
test_version_1(void **unused)
{
    (void)unused;
    put("membership",
        "12:cpuset:/x\n5:memory:/x\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n0::/x\n");
    put("groups/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1\n");
    put("groups/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 0);
    put("groups/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(quota(), 3);
    put("groups/cpu,cpuacct/docker/1/cpu.cfs_period_us", "");
    assert_int_equal(quota(), 0);
    put("membership", "4:cpuset:/x\n3:cpuacct:/x\n");
    put("groups/cpuset/x/cpu.cfs_quota_us", "100000\n");
    put("groups/cpuset/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota(), 0); /* Another controller's. */
}

static void
test_strange_memberships(void **unused)
{
    static const char *const texts[] = { "", "\n", ":", "::", "0::\n", "0:/a\n", "0::a\n",
        "0::/../../../../etc\n", "4:cpu\n", "4:cpu:\n", "::::::://///\n", "0::////\n",
        "\xff\xff::/\n", "4:,,,,:/\n" };
    static char huge[20000];

    (void)unused;
    assert_int_equal(rill__host_quota("/nowhere/at/all", root), 0);
    assert_int_equal(rill__host_quota(root, root), 0); /* A folder. */
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put("membership", texts[i]);
        assert_int_equal(quota(), 0);
    }
    memset(huge, '/', sizeof(huge) - 1);
    memcpy(huge, "0::", 3);
    put("membership", huge);
    assert_int_equal(quota(), 0);
    for (size_t i = 4; i + 1 < sizeof(huge); i += 2)
        huge[i] = 'a';
    put("membership", huge);
    assert_int_equal(quota(), 0);
    put("membership", "0::/a\n");
    put("groups/a/cpu.max", huge);
    assert_int_equal(quota(), 0);
}

static void
test_the_mask(void **unused)
{
    cpu_set_t before, one;
    int cpus = rill__host_cpus();

    (void)unused;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(cpus, CPU_COUNT(&before));
    assert_true(rill_cpu_count() <= cpus);
    for (int nth = 0; nth < cpus + 1; nth++) {
        assert_int_equal(rill__host_pin(nth), 0);
        assert_int_equal(rill__host_cpus(), 1);
        assert_int_equal(rill_cpu_count(), 1);
        assert_int_equal(sched_getaffinity(0, sizeof(one), &one), 0);
        assert_true(CPU_ISSET(sched_getcpu(), &one));
        assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_line),
        CASE(test_version_2),
        CASE(test_version_1),
        CASE(test_strange_memberships),
        CASE(test_the_mask),
    };

    return run_cases(tests);
}
