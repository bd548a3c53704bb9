/* Which network, and which of its files, runs a model's job. Nothing is planned: what is installed is any descriptor. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "worker/models.h"

enum { MISSING = -1, INSTALLED = 0 };

/* Square files of these sides. */
static struct manifest manifest(
    const char *name, const char *serves, const char *also, int fd, int large, int small)
{
    struct manifest m = { .serve_count = also ? 2 : 1, .file_count = 2 };
    const int sides[2] = { large, small };
    strcpy(m.name, name);
    strcpy(m.outputs.alpha, "alpha");
    strcpy(m.serves[0], serves);
    if (also)
        strcpy(m.serves[1], also);
    for (int i = 0; i < 2; i++) {
        m.files[i].width = m.files[i].height = sides[i];
        m.files[i].fd = fd;
        sprintf(m.files[i].file, "%s_%d", name, sides[i]);
    }
    return m;
}

static void a_model_is_served_by_its_own_network(void **state)
{
    (void)state;
    struct manifest all[] = {
        manifest("a", "human", "original", INSTALLED, 64, 32),
        manifest("b", "original", NULL, INSTALLED, 128, 96),
        manifest("c", "light", NULL, MISSING, 48, 24),
    };
    const struct manifest *manifests[] = { &all[0], &all[1], &all[2] };
    struct models models = { .manifests = manifests, .manifest_count = 3, .threads = 3 };
    struct choice c;
    struct error e;

    assert_int_equal(models_choose(&models, "original", 16, 9, 25, &c, &e), 0);
    assert_ptr_equal(c.manifest, &all[1]);
    assert_int_equal(c.is_substitute, 0);
    assert_int_equal(c.params.threads, 3);
    assert_int_equal(models_choose(&models, "human", 16, 9, 25, &c, &e), 0);
    assert_ptr_equal(c.manifest, &all[0]);
    assert_int_equal(c.is_substitute, 0);

    all[1].files[0].fd = all[1].files[1].fd = MISSING;
    assert_int_equal(models_choose(&models, "original", 16, 9, 25, &c, &e), 0);
    assert_ptr_equal(c.manifest, &all[0]);
    assert_int_equal(c.is_substitute, 1);

    assert_int_equal(models_choose(&models, "light", 16, 9, 25, &c, &e), 0);
    assert_ptr_equal(c.manifest, &all[2]);
    assert_null(c.file);
    assert_int_equal(models_use(&models, &c, NULL, &e), -1);
    assert_string_equal(e.code, "model_not_installed");
    assert_non_null(strstr(e.text, "the network c"));
    assert_int_equal(models_choose(&models, "pro", 16, 9, 25, &c, &e), -1);
    assert_string_equal(e.code, "model_not_installed");
    assert_non_null(strstr(e.text, "pro"));
    assert_int_equal(models_choose(&models, NULL, 16, 9, 25, &c, &e), 0);
    assert_ptr_equal(c.manifest, &all[0]);
    assert_int_equal(c.is_substitute, 0);
    models.manifest_count = 0;
    assert_int_equal(models_choose(&models, NULL, 16, 9, 25, &c, &e), -1);
    assert_string_equal(e.code, "model_not_installed");
}

static void the_budget_decides_between_sizes(void **state)
{
    (void)state;
    static const struct {
        int64_t budget;
        double rate;
        int side;
    } cases[] = {
        { 0, 240, 1024 }, { 18000000, 10, 1024 }, { 18000000, 17, 1024 }, { 18000000, 18, 768 },
        { 18000000, 30, 768 }, { 18000000, 60, 768 }, /* the smallest there is */
    };
    struct manifest m = manifest("b", "original", NULL, INSTALLED, 768, 1024);
    const struct manifest *manifests[] = { &m };
    struct choice c;
    struct error e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct models models = {
            .manifests = manifests, .manifest_count = 1, .budget = cases[i].budget
        };
        assert_int_equal(models_choose(&models, "original", 16, 9, cases[i].rate, &c, &e), 0);
        assert_int_equal(c.file->width, cases[i].side);
    }
    m.files[1].fd = MISSING; /* 1024: whatever the budget, what is there */
    struct models models = { .manifests = manifests, .manifest_count = 1 };
    assert_int_equal(models_choose(&models, "original", 16, 9, 25, &c, &e), 0);
    assert_int_equal(c.file->width, 768);
    m.files[1] = (struct manifest_file) { .width = 64, .height = 36, .fd = INSTALLED };
    assert_int_equal(models_choose(&models, "original", 16, 9, 25, &c, &e), 0);
    assert_int_equal(c.file->width, 64); /* the clip's shape goes before size */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_served_by_its_own_network),
        cmocka_unit_test(the_budget_decides_between_sizes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
