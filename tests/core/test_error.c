/*
 * The one space of errors: each code has a name, a sentence and a class; unknown ones are survived.
 */
/* drivers: none */
#include "harness.h"

#include <errno.h>

static const struct {
    int code;
    const char *name;
    rill_error_class class_;
} own[] = {
#define ROW(name, number, class_, sentence) { name, #name, RILL_CLASS_##class_ },
    RILL_ERROR_LIST(ROW)
#undef ROW
};

#define OWN_COUNT (sizeof(own) / sizeof(own[0]))

static void
test_own_codes(void **unused)
{
    (void)unused;
    assert_true(OWN_COUNT > 20);
    for (size_t i = 0; i < OWN_COUNT; i++) {
        assert_true(own[i].code <= -5001 && own[i].code >= -9999);
        assert_string_equal(rill_errname(own[i].code), own[i].name);
        assert_int_equal(rill_errclass(own[i].code), own[i].class_);
        assert_true(strlen(rill_strerror(own[i].code)) > 5);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(own[k].code, own[i].code);
            assert_string_not_equal(rill_strerror(own[k].code), rill_strerror(own[i].code));
        }
    }
    assert_string_equal(rill_strerror(RILL_ETIMEDOUT), "the deadline passed");
}

static void
test_success_is_a_code_too(void **unused)
{
    (void)unused;
    assert_int_equal(RILL_OK, 0);
    assert_string_equal(rill_errname(0), "RILL_OK");
    assert_int_equal(rill_errclass(0), RILL_CLASS_NONE);
    assert_int_equal(rill_errclass(1), RILL_CLASS_NONE);
    assert_non_null(rill_strerror(0));
    assert_non_null(rill_strerror(17));
}

static void
test_kernel_codes(void **unused)
{
    (void)unused;
    assert_string_equal(rill_errname(-ECONNRESET), "ECONNRESET");
    assert_string_equal(rill_errname(-ENOENT), "ENOENT");
    assert_string_equal(rill_errname(-EMFILE), "EMFILE");
    assert_string_equal(rill_errname(-EAGAIN), "EAGAIN");
    assert_string_equal(rill_errname(-EOPNOTSUPP), "EOPNOTSUPP");
    assert_string_equal(rill_strerror(-ECONNREFUSED), "Connection refused");
    for (int e = 1; e <= 133; e++) { /* All that Linux has, but the two holes in its list. */
        const char *name = rill_errname(-e);

        if (e == 41 || e == 58)
            continue;
        assert_int_equal(name[0], 'E');
        assert_string_not_equal(rill_strerror(-e), "");
    }
}

static void
test_classes_of_kernel_codes(void **unused)
{
    static const struct {
        int code;
        rill_error_class class_;
    } rows[] = {
        { -ECONNRESET, RILL_CLASS_CLOSED },
        { -EPIPE, RILL_CLASS_CLOSED },
        { -ECONNABORTED, RILL_CLASS_CLOSED },
        { -ETIMEDOUT, RILL_CLASS_TIMEOUT },
        { -ENOMEM, RILL_CLASS_LIMIT },
        { -EMFILE, RILL_CLASS_LIMIT },
        { -ENFILE, RILL_CLASS_LIMIT },
        { -ENOBUFS, RILL_CLASS_LIMIT },
        { -EIO, RILL_CLASS_SYSTEM },
        { -ECONNREFUSED, RILL_CLASS_SYSTEM },
        { -ENOENT, RILL_CLASS_SYSTEM },
        { RILL_EUSER, RILL_CLASS_USER },
        { RILL_EUSER - 12345, RILL_CLASS_USER },
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rill_errclass(rows[i].code) != rows[i].class_)
            fail_msg("%s has class %d, not %d", rill_errname(rows[i].code),
                (int)rill_errclass(rows[i].code), (int)rows[i].class_);
    }
}

static void
test_unknown_codes(void **unused)
{
    static const int codes[] = { -134, -4095, -4096, -5000, -5999, -9999, RILL_EUSER, INT32_MIN };

    (void)unused;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_string_equal(rill_errname(codes[i]), "UNKNOWN");
        assert_non_null(rill_strerror(codes[i]));
        assert_true(strlen(rill_strerror(codes[i])) > 3);
        (void)rill_errclass(codes[i]);
    }
}

/* Static text: what one call returned is not spoilt by the next. */
static void
test_texts_stay(void **unused)
{
    const char *first = rill_strerror(-ENOENT), *second = rill_strerror(-5999);
    char copy[100];

    (void)unused;
    snprintf(copy, sizeof(copy), "%s", first);
    (void)rill_strerror(-EPIPE);
    (void)rill_strerror(-4000);
    assert_string_equal(first, copy);
    assert_string_not_equal(second, "");
}

static void
test_version(void **unused)
{
    (void)unused;
    assert_int_equal(
        rill_version(), RILL_VERSION_MAJOR * 10000 + RILL_VERSION_MINOR * 100 + RILL_VERSION_PATCH);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_codes),
        cmocka_unit_test(test_success_is_a_code_too),
        cmocka_unit_test(test_kernel_codes),
        cmocka_unit_test(test_classes_of_kernel_codes),
        cmocka_unit_test(test_unknown_codes),
        cmocka_unit_test(test_texts_stay),
        cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
