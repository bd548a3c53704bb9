/*
 * Copies of copies as one: random reshapes, transposes, slices and repetitions, against the elements one by one.
 */
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nn/graph.h"

static int uniform(int bound)
{
    static uint64_t seed = 11;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((seed >> 40) % (uint64_t)bound);
}

/* The place in the input of element index of the output. */
static ptrdiff_t place(const struct copy *c, int index)
{
    ptrdiff_t at = c->base;
    for (int i = c->rank - 1; i >= 0; i--) {
        at += index % c->dims[i] * c->step[i];
        index /= c->dims[i];
    }
    return at;
}

static int elements(const struct copy *c)
{
    int count = 1;
    for (int i = 0; i < c->rank; i++)
        count *= c->dims[i];
    return count;
}

/* A copy of a tensor of so many elements, seen as random dimensions of which some are cut, turned or repeated. */
static struct copy random_copy(int count)
{
    struct copy c = { 0 };
    int dims[4], order[4] = { 0, 1, 2, 3 };
    ptrdiff_t steps[4];
    for (int i = 3, left = count; i >= 0; i--) {
        static const int sizes[] = { 1, 2, 3, 4, 6 };
        const int wish = sizes[uniform(5)];
        dims[i] = !i ? left : left % wish ? 1 : wish;
        left /= dims[i];
    }
    for (int i = 3, step = 1; i >= 0; i--) {
        steps[i] = step;
        step *= dims[i];
    }
    for (int i = 0; i < 4; i++) {
        const int k = uniform(4), was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
    for (int i = 0; i < 4; i++) {
        const int k = order[i], cut = uniform(3) ? 0 : uniform(dims[k]);
        c.base += cut * steps[k];
        c.dims[c.rank] = dims[k] - cut;
        c.step[c.rank++] = steps[k];
        if (!uniform(8)) {
            c.dims[c.rank] = 2;
            c.step[c.rank++] = 0;
        }
    }
    return c;
}

static void composes(void **state)
{
    int done = 0, refused = 0;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        const struct copy inner = random_copy(144), outer = random_copy(elements(&inner));
        struct copy one = outer;
        if (!copy_compose(&one, &inner)) {
            assert_memory_equal(&one, &outer, sizeof one);
            refused++;
            continue;
        }
        assert_int_equal(elements(&one), elements(&outer));
        for (int k = 0; k < elements(&outer); k++)
            assert_int_equal(place(&one, k), place(&inner, (int)place(&outer, k)));
        done++;
    }
    assert_true(done > 5000 && refused > 100);
}

static void undoes_a_transpose(void **state)
{
    const struct copy turn = { 3, { 2, 5, 7 }, { 35, 1, 5 }, 0 };
    struct copy back = { 3, { 2, 7, 5 }, { 35, 1, 7 }, 0 };
    (void)state;
    assert_false(copy_is_same(&turn));
    assert_true(copy_compose(&back, &turn));
    assert_true(copy_is_same(&back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(composes),
        cmocka_unit_test(undoes_a_transpose),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
