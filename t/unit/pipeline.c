/* The pipeline with a fake network: its ends, good and bad, always come, and every thread with them. */
#include "clip.h"
#include "fake_model.h"

#include <string.h>
#include <sys/stat.h>

#include "media/libav.h"
#include "worker/pipeline.h"

struct told {
    int probed, progress, warnings;
    char said[64]; /* the codes of warnings, one a line */
    int64_t total, done;
    int stop_at_probe;
    int64_t stop_at; /* frames; 0: never */
};

static int tell(void *data, const struct report *r)
{
    struct told *t = data;
    switch (r->kind) {
    case REPORT_PROBED:
        assert_int_equal(t->probed++, 0);
        t->total = r->frames_total;
        return t->stop_at_probe;
    case REPORT_PROGRESS:
        assert_true(r->frames_done > t->done);
        t->progress++;
        t->done = r->frames_done;
        return t->stop_at && t->done >= t->stop_at;
    case REPORT_WARNING:
        t->warnings++;
        strcat(strncat(t->said, r->error.code, sizeof t->said - strlen(t->said) - 2), "\n");
        return 0;
    default: fail_msg("report %d", (int)r->kind); return 0;
    }
}

static struct device *device;
static struct manifest *manifest;
static int source, the_alpha, the_image;

static int run(const struct job *job, int input, int output, struct told *told,
    struct pipeline_result *r, struct error *e)
{
    const struct manifest *manifests[] = { manifest };
    struct models models = {
        .manifests = manifests, .manifest_count = 1, .threads = 1, .device = device
    };
    struct pipeline_params p = {
        .job = job,
        .files = { input, output, the_alpha, the_image },
        .device = device,
        .models = &models,
        .threads = 2,
        .report = tell,
        .data = told,
    };
    int result = pipeline_run(&p, r, e);
    models_close(&models);
    return result;
}

static struct job usual(void)
{
    return (struct job) { .model = "human",
        .format = "webm",
        .background = BACKGROUND_TRANSPARENT,
        .max_pixels = 1000000,
        .max_image_bytes = 1 << 20,
        .max_ms = 60000 };
}

static void it_makes_what_it_says(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct job job = usual();
        job.background = i ? BACKGROUND_COLOR : BACKGROUND_TRANSPARENT;
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e;
        int out = scratch();
        if (run(&job, source, out, &told, &r, &e))
            fail_msg("%s", e.text);
        struct stat st;
        assert_int_equal(fstat(out, &st), 0);
        assert_int_equal(r.frames, 30);
        assert_int_equal(r.duration_ms, 1200);
        assert_int_equal(r.width, 160);
        assert_int_equal(r.height, 90);
        assert_int_equal(r.bytes, st.st_size);
        assert_int_equal(told.probed, 1);
        assert_int_equal(told.total, 30);
        assert_int_equal(told.warnings, 1); /* AAC to Opus */
        assert_true(r.busy[STAGE_DECODE] > 0 && r.busy[STAGE_MATTE] > 0);
        close(out);
    }
}

/* Every format, transparent and not, whole and on a canvas. */
static void every_format_is_made(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        int warnings; /* about the sound */
    } formats[] = { { "webm", 1 }, { "mov", 0 }, { "mp4", 0 }, { "gif", 1 }, { "webp", 1 },
        { "png_sequence", 0 } };
    int image = clip("-f lavfi -i testsrc2=s=64x64 -frames:v 1 -c:v png -f image2pipe");
    for (size_t i = 0; i < sizeof formats / sizeof *formats * 3; i++) {
        struct job job = usual();
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e;
        int out = scratch();
        strcpy(job.format, formats[i / 3].format);
        job.background = (enum job_background)(i % 3);
        if (job.background == BACKGROUND_IMAGE)
            job.composition = (struct composition) { 101, 201, ANCHOR_TOP_LEFT, 1, 3, 3 };
        the_image = image;
        int result = run(&job, source, out, &told, &r, &e);
        if (i / 3 == 2 && job.background == BACKGROUND_TRANSPARENT) {
            assert_int_equal(result, -1);
            assert_string_equal(e.code, "unsupported_combination");
        } else {
            if (result)
                fail_msg("%s: %s", job.format, e.text);
            assert_int_equal(r.frames, 30);
            assert_int_equal(r.duration_ms, 1200);
            assert_int_equal(r.width, job.background < BACKGROUND_IMAGE ? 160
                                      : i / 3 == 2                      ? 100
                                                                        : 101);
            assert_int_equal(told.warnings, formats[i / 3].warnings);
            struct stat st;
            assert_int_equal(fstat(out, &st), 0);
            assert_int_equal(r.bytes, st.st_size);
        }
        close(out);
    }
    close(image);
}

/* A clip whose bytes from..to, in parts of it, say nothing; to 1: are not there. */
static int hurt(const char *args, double from, double to)
{
    static char bytes[1 << 20];
    int whole = clip(args), fd = scratch();
    ssize_t n = pread(whole, bytes, sizeof bytes, 0);
    assert_in_range(n, 1000, sizeof bytes - 1);
    memset(bytes + (ssize_t)((double)n * from), 0xff, (size_t)((double)n * (to - from)));
    n = to < 1 ? n : (ssize_t)((double)n * from);
    assert_int_equal(write(fd, bytes, (size_t)n), n);
    close(whole);
    return fd;
}

static void what_is_not_whole_is_said(void **state)
{
    (void)state;
    static const char silent[] =
        "-f lavfi -i testsrc2=size=160x90:rate=25:duration=1.2 -c:v libx264 "
        "-preset ultrafast -g 5 -movflags +faststart -f mp4";
    static const char strange[] =
        "-f lavfi -i testsrc2=size=160x90:rate=25:duration=0.2 -f lavfi -i sine=duration=0.2 "
        "-c:v libx264 -preset ultrafast -c:a wavpack -f matroska";
    const struct {
        int input;
        const char *format, *made_for;
        int found;
        const char *said;
    } cases[] = {
        { dup(source), "mov", "human", 1, "" },
        { dup(source), "webm", "human", 1, "audio_transcoded\n" },
        { dup(source), "gif", "human", 1, "audio_dropped\n" },
        { clip(strange), "mov", "human", 1, "audio_dropped\n" },
        { hurt(silent, .6, 1), "mov", "human", 1, "truncated\ndecode_errors\n" },
        { hurt(silent, .4, .6), "mov", "human", 1, "decode_errors\n" },
        { dup(source), "mov", "other", 1, "model_substituted\n" },
        { dup(source), "mov", "human", 0, "nothing_found\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job job = usual();
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e;
        int out = scratch();
        strcpy(job.format, cases[i].format);
        strcpy(manifest->serves[0], cases[i].made_for);
        fake_finds = cases[i].found;
        if (run(&job, cases[i].input, out, &told, &r, &e))
            fail_msg("%zu: %s", i, e.text);
        assert_string_equal(told.said, cases[i].said);
        close(cases[i].input);
        close(out);
    }
    strcpy(manifest->serves[0], "human");
    fake_finds = 1;
}

static void the_same_input_makes_the_same_file(void **state)
{
    (void)state;
    static char bytes[2][1 << 20];
    ssize_t n[2];
    for (int i = 0; i < 2; i++) {
        struct job job = usual();
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e;
        int out = scratch();
        assert_int_equal(run(&job, source, out, &told, &r, &e), 0);
        n[i] = pread(out, bytes[i], sizeof bytes[i], 0);
        close(out);
    }
    assert_true(n[0] > 0 && n[0] == n[1]);
    assert_memory_equal(bytes[0], bytes[1], (size_t)n[0]);
}

/* Whichever frame it is, the reason comes out unchanged and no thread stays. */
static void a_failing_network_ends_the_run(void **state)
{
    (void)state;
    for (fake_fail_at = 0; fake_fail_at < 30; fake_fail_at++) {
        struct job job = usual();
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e;
        int out = scratch();
        assert_int_equal(run(&job, source, out, &told, &r, &e), -1);
        assert_string_equal(e.code, "model_failed");
        close(out);
    }
    fake_fail_at = -1;
}

static void a_full_disk_ends_the_run(void **state)
{
    (void)state;
    struct job job = usual();
    struct told told = { 0 };
    struct pipeline_result r;
    struct error e;
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_int_equal(run(&job, source, full, &told, &r, &e), -1);
    assert_string_equal(e.code, "storage_error");
    assert_true(e.retry);
    close(full);
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    struct job job = usual();
    struct pipeline_result r;
    struct error e;
    int out = scratch();
    struct told no = { .stop_at_probe = 1 };
    assert_int_equal(run(&job, source, out, &no, &r, &e), -1);
    assert_string_equal(e.code, "cancelled");
    assert_int_equal(no.progress, 0);

    int minute = clip("-f lavfi -i testsrc2=size=640x360:rate=25:duration=40 -c:v libx264 "
                      "-preset ultrafast -f mp4");
    struct told later = { .stop_at = 1 };
    assert_int_equal(run(&job, minute, out, &later, &r, &e), -1);
    assert_string_equal(e.code, "cancelled");
    assert_true(later.done < 1000);
    close(minute);
    close(out);
}

static void limits_have_their_codes(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int64_t max_pixels, max_ms;
        const char *model, *format;
    } cases[] = {
        { "too_large", 160 * 90 - 1, 60000, "human", "webm" },
        { "too_long", 1000000, 1199, "human", "webm" },
        { "model_not_installed", 1000000, 60000, "pro", "webm" },
        { "unsupported_format", 1000000, 60000, "human", "avi" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job job = usual();
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e;
        int out = scratch();
        job.max_pixels = cases[i].max_pixels;
        job.max_ms = cases[i].max_ms;
        strcpy(job.model, cases[i].model);
        strcpy(job.format, cases[i].format);
        assert_int_equal(run(&job, source, out, &told, &r, &e), -1);
        assert_string_equal(e.code, cases[i].code);
        close(out);
    }
    struct job job = usual(); /* the limits themselves are allowed */
    struct told told = { 0 };
    struct pipeline_result r;
    struct error e;
    int out = scratch();
    job.max_pixels = 160 * 90;
    job.max_ms = 1200;
    assert_int_equal(run(&job, source, out, &told, &r, &e), 0);
    close(out);
}

/* Whole boxes around garbage: the decoder starts and nothing comes. */
static void nothing_to_decode_is_an_error(void **state)
{
    (void)state;
    static unsigned char bytes[1 << 20];
    ssize_t n = pread(source, bytes, sizeof bytes, 0);
    unsigned char *data = memmem(bytes, (size_t)n, "mdat", 4);
    assert_non_null(data);
    uint32_t size = (uint32_t)data[-4] << 24 | data[-3] << 16 | data[-2] << 8 | data[-1];
    memset(data + 4, 0xff, size - 8);
    struct job job = usual();
    struct told told = { 0 };
    struct pipeline_result r;
    struct error e;
    int in = scratch(), out = scratch();
    assert_int_equal(write(in, bytes, (size_t)n), n);
    assert_int_equal(run(&job, in, out, &told, &r, &e), -1);
    assert_string_equal(e.code, "decode_error");
    assert_true(e.retry);
    close(in);
    close(out);
}

/* A container that declares a video and holds none. */
static void no_frame_at_all_is_an_error(void **state)
{
    (void)state;
    static unsigned char bytes[1 << 20];
    int whole = clip("-f lavfi -i testsrc2=size=160x90:duration=0.2 -c:v libvpx-vp9 -f webm");
    ssize_t n = pread(whole, bytes, sizeof bytes, 0);
    unsigned char *cluster = memmem(bytes, (size_t)n, "\x1f\x43\xb6\x75", 4);
    assert_non_null(cluster);
    struct job job = usual();
    struct told told = { 0 };
    struct pipeline_result r;
    struct error e;
    int in = scratch(), out = scratch();
    assert_int_equal(write(in, bytes, (size_t)(cluster - bytes)), cluster - bytes);
    assert_int_equal(run(&job, in, out, &told, &r, &e), -1);
    assert_string_equal(e.code, "unreadable_media");
    close(whole);
    close(in);
    close(out);
}

/* Damage of every kind ends in a file or in one of the input's errors. */
static void damaged_inputs_end(void **state)
{
    (void)state;
    static unsigned char bytes[1 << 20], copy[1 << 20];
    ssize_t n = pread(source, bytes, sizeof bytes, 0);
    assert_true(n > 1000);
    srandom(7);
    for (int i = 0; i < 60; i++) {
        struct job job = usual();
        struct told told = { 0 };
        struct pipeline_result r;
        struct error e = { 0 };
        int in = scratch(), out = scratch();
        size_t length = (size_t)(i % 3 ? n : random() % n);
        memcpy(copy, bytes, (size_t)n);
        for (int k = 1 << (i % 8); k > 0; k--)
            copy[random() % n] = (unsigned char)random();
        assert_int_equal(write(in, copy, length), length);
        if (run(&job, in, out, &told, &r, &e)) {
            static const char codes[] =
                "empty_input unreadable_media no_video_stream too_large too_long decode_error";
            if (!strstr(codes, e.code))
                fail_msg("copy %d: %s: %s", i, e.code, e.text);
        }
        close(in);
        close(out);
    }
}

static int open_all(void **state)
{
    (void)state;
    struct error e;
    libav_start();
    device = device_open("cpu", &e);
    manifest = manifest_open(NULL, NULL, &e);
    source = clip(TEST_CLIP);
    return !device || !manifest;
}

static int close_all(void **state)
{
    (void)state;
    manifest_close(manifest);
    device_close(device);
    close(source);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_makes_what_it_says),
        cmocka_unit_test(every_format_is_made),
        cmocka_unit_test(what_is_not_whole_is_said),
        cmocka_unit_test(the_same_input_makes_the_same_file),
        cmocka_unit_test(a_failing_network_ends_the_run),
        cmocka_unit_test(a_full_disk_ends_the_run),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(limits_have_their_codes),
        cmocka_unit_test(nothing_to_decode_is_an_error),
        cmocka_unit_test(no_frame_at_all_is_an_error),
        cmocka_unit_test(damaged_inputs_end),
    };
    alarm(300); /* a deadlock is a failure */
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_all, close_all);
}
