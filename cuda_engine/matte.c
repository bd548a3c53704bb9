/* matte: one video on this machine, through the same stages as a job of the engine. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "media/format.h"
#include "media/libav.h"
#include "nn/nn.h"
#include "worker/pipeline.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

enum { MANIFESTS = 32, BAR = 30, QUIET_S = 5 };

/* wide: the machine is the user's */
#define MAX_PIXELS      ((int64_t)8192 * 8192)
#define MAX_MS          ((int64_t)7 * 24 * 3600 * 1000)
#define MAX_IMAGE_BYTES ((int64_t)1 << 30)

#define BUDGET_PIXELS ((int64_t)18000000)

static const char usage[] =
    "usage: matte [options] INPUT OUTPUT.{webm,mov,mp4,gif,webp,zip}\n"
    "       matte models [--models FOLDER] [--model-files FOLDER]\n"
    "       matte device [--device NAME]\n"
    "  --model NAME|FILE.json    a model by its name (human), or a manifest\n"
    "  --prompt TEXT             what to keep, for the model pro: \"the red car, two dogs, not the "
    "cat\"\n"
    "  --explain FILE.png|FOLDER draw what it saw: the first frame, or all at which it looked\n"
    "  --format NAME             webm, mov, mp4, gif, webp or png_sequence (by the output's name)\n"
    "  --background COLOR|IMAGE  transparent, green, white, black, blue, #rrggbb; or a PNG, JPEG "
    "or WebP file\n"
    "  --alpha FILE.mp4          the alpha too, as a lossless grey video\n"
    "  --lossless                WebM's alpha exact, and not nearly so\n"
    "  --canvas WIDTHxHEIGHT     the output's size (the video's)\n"
    "  --anchor ANCHOR           where the video is on it: top-left, ... center, ... bottom-right "
    "(center)\n"
    "  --scale FACTOR            1 fits the whole video inside the canvas (1)\n"
    "  --offset X,Y              pixels from the anchor, to the right and down (0,0)\n"
    "  --without STEP            the network's alpha as it is: calm, clean, edges, colors or "
    "guide; "
    "again for more\n"
    "  --budget MEGAPIXELS       what a network may see of a second of video on the processor, 0 "
    "for "
    "all (18)\n"
    "  --preview SECONDS         only the beginning\n"
    "  --device NAME             cpu, cuda, cuda:N for one of several cards, or auto (auto)\n"
    "  --threads N               processors to use (all)\n"
    "  --models FOLDER           manifests (MATTE_MODELS, or /usr/share/matte/models)\n"
    "  --model-files FOLDER      ONNX files (MATTE_MODEL_FILES, or /var/lib/matte/models)\n";

struct options {
    struct job job;
    const char *manifest; /* FILE.json */
    const char *image;    /* of BACKGROUND_IMAGE */
    const char *explain;  /* NULL: nothing is to be drawn */
    const char *models, *model_files;
    const char *input, *output;
    const char *alpha;  /* NULL: it is not wanted */
    const char *device; /* as device_open() takes it */
    int threads;
    int64_t budget; /* pixels */
    enum { WORK, LIST_MODELS, SHOW_DEVICE } command;
};

struct progress {
    int64_t total;
    double start, told;
    int terminal;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void show_warning(const struct error *e)
{
    fprintf(stderr, "matte: warning: %s (%s)\n", e->text, e->code);
}

/* ---- options ---- */

/* What is no colour is a file. */
static int set_background(struct options *o, const char *text, struct error *e)
{
    struct job *job = &o->job;
    static const struct {
        const char *name;
        enum job_background kind;
        uint8_t color[3];
    } named[] = {
        { "transparent", BACKGROUND_TRANSPARENT, { 0, 0, 0 } },
        { "green", BACKGROUND_COLOR, { 0, 255, 0 } },
        { "white", BACKGROUND_COLOR, { 255, 255, 255 } },
        { "black", BACKGROUND_COLOR, { 0, 0, 0 } },
        { "blue", BACKGROUND_COLOR, { 0, 0, 255 } },
    };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(text, named[i].name) == 0) {
            job->background = named[i].kind;
            memcpy(job->color, named[i].color, sizeof job->color);
            return 0;
        }
    if (text[0] != '#') {
        if (access(text, R_OK))
            return error_set(e, "invalid_request",
                "--background %s is neither a colour nor a file that can be read.", text);
        job->background = BACKGROUND_IMAGE;
        o->image = text;
        return 0;
    }
    if (strspn(text + 1, "0123456789abcdefABCDEF") != 6 || strlen(text) != 7)
        return error_set(e, "invalid_request", "--background %s is no colour: #rrggbb is.", text);
    unsigned long rgb = strtoul(text + 1, NULL, 16);
    job->background = BACKGROUND_COLOR;
    for (int i = 0; i < 3; i++)
        job->color[i] = (uint8_t)(rgb >> (16 - 8 * i));
    return 0;
}

static int set_format(struct options *o, const char *name, struct error *e)
{
    const struct format *format = name ? format_find(name, e) : format_of_file(o->output, e);
    const struct track *track;
    if (!format || !format_tracks(format, o->job.background == BACKGROUND_TRANSPARENT, &track, e))
        return -1;
    snprintf(o->job.format, sizeof o->job.format, "%s", format->name);
    return 0;
}

/* Two numbers and nothing else. */
static int set_pair(double to[2], const char *option, const char *text, char between,
    const char *example, struct error *e)
{
    char *end;
    to[0] = strtod(text, &end);
    if (end != text && *end == between) {
        text = end + 1;
        to[1] = strtod(text, &end);
        if (end != text && !*end)
            return 0;
    }
    return error_set(e, "invalid_request", "%s is given as %s.", option, example);
}

static int set_canvas(struct composition *c, const char *text, struct error *e)
{
    double size[2] = { 0 };
    if (set_pair(size, "--canvas", text, 'x', "1080x1920", e))
        return -1;
    for (int i = 0; i < 2; i++)
        if (!(size[i] >= CANVAS_MIN && size[i] <= CANVAS_MAX))
            return error_set(e, "invalid_request", "--canvas %s is outside %d to %d pixels a side.",
                text, CANVAS_MIN, CANVAS_MAX);
    c->canvas_width = (int)size[0];
    c->canvas_height = (int)size[1];
    return 0;
}

static int set_anchor(struct composition *c, const char *text, struct error *e)
{
    int anchor = anchor_of(text);
    if (anchor < 0)
        return error_set(e, "invalid_request", "--anchor %s is no anchor: top-left is.", text);
    c->anchor = (enum anchor)anchor;
    return 0;
}

static int set_offset(struct composition *c, const char *text, struct error *e)
{
    double offset[2] = { 0 };
    if (set_pair(offset, "--offset", text, ',', "-40,120", e))
        return -1;
    c->offset_x = offset[0];
    c->offset_y = offset[1];
    return 0;
}

static int leave_out(struct job *job, const char *text, struct error *e)
{
    unsigned step = refinement(text);
    if (!step)
        return error_set(e, "invalid_request",
            "--without %s is none of calm, clean, edges, colors and guide.", text);
    job->refine &= ~step;
    return 0;
}

static int set_model(struct options *o, const char *text, struct error *e)
{
    size_t length = strlen(text);
    if (length > 5 && strcmp(text + length - 5, ".json") == 0) {
        o->manifest = text;
        return 0;
    }
    if (length >= sizeof o->job.model)
        return error_set(e, "invalid_request", "--model %s is no model's name.", text);
    snprintf(o->job.model, sizeof o->job.model, "%s", text);
    return 0;
}

static int set_number(
    double *to, const char *option, const char *text, double least, double most, struct error *e)
{
    char *end;
    *to = strtod(text, &end);
    if (end != text && !*end && *to >= least && *to <= most)
        return 0;
    return error_set(
        e, "invalid_request", "%s %s is not a number from %g to %g.", option, text, least, most);
}

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* 0; -1 and *e; 1: the usage was asked for. */
static int parse(int argc, char **argv, struct options *o, struct error *e)
{
    enum {
        MODEL,
        PROMPT,
        EXPLAIN,
        FORMAT,
        BACKGROUND,
        ALPHA,
        LOSSLESS,
        CANVAS,
        ANCHOR,
        SCALE,
        OFFSET,
        WITHOUT,
        BUDGET,
        PREVIEW,
        DEVICE,
        THREADS,
        MODELS,
        MODEL_FILES,
        HELP
    };
    static const struct option table[] = {
        { "model", required_argument, NULL, MODEL },
        { "prompt", required_argument, NULL, PROMPT },
        { "explain", required_argument, NULL, EXPLAIN },
        { "format", required_argument, NULL, FORMAT },
        { "background", required_argument, NULL, BACKGROUND },
        { "alpha", required_argument, NULL, ALPHA },
        { "lossless", no_argument, NULL, LOSSLESS },
        { "canvas", required_argument, NULL, CANVAS },
        { "anchor", required_argument, NULL, ANCHOR },
        { "scale", required_argument, NULL, SCALE },
        { "offset", required_argument, NULL, OFFSET },
        { "without", required_argument, NULL, WITHOUT },
        { "budget", required_argument, NULL, BUDGET },
        { "preview", required_argument, NULL, PREVIEW },
        { "device", required_argument, NULL, DEVICE },
        { "threads", required_argument, NULL, THREADS },
        { "models", required_argument, NULL, MODELS },
        { "model-files", required_argument, NULL, MODEL_FILES },
        { "help", no_argument, NULL, HELP },
        { NULL, 0, NULL, 0 },
    };
    const char *models = getenv("MATTE_MODELS"), *files = getenv("MATTE_MODEL_FILES");
    const char *format = NULL;
    double number;
    o->models = models ? models : "/usr/share/matte/models";
    o->model_files = files ? files : "/var/lib/matte/models";
    o->device = "auto";
    o->threads = processors();
    o->budget = BUDGET_PIXELS;
    o->job.max_pixels = MAX_PIXELS;
    o->job.max_ms = MAX_MS;
    o->job.max_image_bytes = MAX_IMAGE_BYTES;
    o->job.refine = REFINE_ALL;
    set_model(o, "human", e);
    if (argc > 1)
        o->command = strcmp(argv[1], "models") == 0   ? LIST_MODELS
                     : strcmp(argv[1], "device") == 0 ? SHOW_DEVICE
                                                      : WORK;
    opterr = 0;
    for (int c, result = 0; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (c) {
        case MODEL: result = set_model(o, optarg, e); break;
        case PROMPT: result = prompt_parse(&o->job.prompt, optarg, strlen(optarg), e); break;
        case EXPLAIN: o->explain = optarg; break;
        case FORMAT: format = optarg; break;
        case BACKGROUND: result = set_background(o, optarg, e); break;
        case ALPHA:
            o->alpha = optarg;
            o->job.alpha = 1;
            break;
        case LOSSLESS: o->job.lossless = 1; break;
        case CANVAS: result = set_canvas(&o->job.composition, optarg, e); break;
        case ANCHOR: result = set_anchor(&o->job.composition, optarg, e); break;
        case SCALE:
            result = set_number(&o->job.composition.scale, "--scale", optarg, .001, 100, e);
            break;
        case OFFSET: result = set_offset(&o->job.composition, optarg, e); break;
        case WITHOUT: result = leave_out(&o->job, optarg, e); break;
        case BUDGET:
            result = set_number(&number, "--budget", optarg, 0, 1000000, e);
            o->budget = (int64_t)(number * 1000000);
            break;
        case PREVIEW:
            result = set_number(&number, "--preview", optarg, .001, MAX_MS / 1000.0, e);
            o->job.preview_ms = (int64_t)(number * 1000 + .5);
            break;
        case DEVICE: o->device = optarg; break;
        case THREADS:
            result = set_number(&number, "--threads", optarg, 1, 1024, e);
            o->threads = (int)number;
            break;
        case MODELS: o->models = optarg; break;
        case MODEL_FILES: o->model_files = optarg; break;
        case HELP: return 1;
        default:
            result = error_set(
                e, "invalid_request", "%s is not an option, or has no value.", argv[optind - 1]);
        }
        if (result)
            return -1;
    }
    if (o->command != WORK)
        return argc - optind == 1
                   ? 0
                   : error_set(e, "invalid_request", "%s takes options only.", argv[optind]);
    if (argc - optind != 2)
        return error_set(e, "invalid_request", "An input and an output are needed.");
    o->input = argv[optind];
    o->output = argv[optind + 1];
    return set_format(o, format, e);
}

/* ---- models ---- */

static int is_manifest(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static void close_manifests(struct manifest **found, int count)
{
    for (int i = 0; i < count; i++)
        manifest_close(found[i]);
}

/* How many were opened; -1 and *e. */
static int open_manifests(const struct options *o, struct manifest **found, struct error *e)
{
    struct dirent **names;
    int count = scandir(o->models, &names, is_manifest, alphasort), opened = 0;
    if (count < 0) {
        error_set(e, "model_not_installed", "The folder %s is not there: %s.", o->models,
            strerror(errno));
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", o->models, names[i]->d_name);
        if (opened >= 0 && opened < MANIFESTS) {
            found[opened] = manifest_open(path, o->model_files, e);
            if (!found[opened])
                close_manifests(found, opened);
            opened = found[opened] ? opened + 1 : -1;
        }
        free(names[i]);
    }
    free(names);
    return opened;
}

/* How many were opened; -1 and *e. */
static int find_models(struct options *o, struct manifest **found, struct error *e)
{
    if (!o->manifest)
        return open_manifests(o, found, e);
    found[0] = manifest_open(o->manifest, o->model_files, e);
    if (!found[0])
        return -1;
    struct manifest *m = found[0];
    if (!m->serve_count) /* a user may run what no job can: under its own name */
        memcpy(m->serves[m->serve_count++], m->name, sizeof m->name);
    snprintf(o->job.model, sizeof o->job.model, "%.*s", (int)sizeof o->job.model - 1, m->serves[0]);
    return 1;
}

/* ---- the command `models` ---- */

static void print_line(const char *network, const char *serves, const char *licence,
    const char *size, const char *file, const char *bytes, const char *state)
{
    printf("%-12s %-20s %-11s %-10s %-19s %9s  %s\n", network, serves, licence, size, file, bytes,
        state);
}

/* What a network serves, with commas. */
struct served {
    char text[MANIFEST_SERVES * MANIFEST_NAME];
};

static struct served served_by(const struct manifest *m)
{
    struct served s = { "-" };
    for (int i = 0, at = 0; i < m->serve_count; i++)
        at += snprintf(s.text + at, sizeof s.text - at, "%s%s", i ? "," : "", m->serves[i]);
    return s;
}

/* 0; -1 and *e: the file is there and is another. */
static int print_file(const struct manifest *m, const struct manifest_file *f, struct error *e)
{
    char size[24], bytes[24] = "-";
    const char *state = "missing";
    struct stat status;
    int failed = 0;
    snprintf(size, sizeof size, "%dx%d", f->width, f->height);
    if (f->fd >= 0 && !fstat(f->fd, &status)) {
        snprintf(bytes, sizeof bytes, "%lld", (long long)status.st_size);
        failed = manifest_verify(f, e);
        state = failed ? "wrong" : "ok";
    }
    print_line(m->name, served_by(m).text, m->licence, size, f->file, bytes, state);
    return failed;
}

/* A model of several networks, which have lines of their own. */
static void print_parts(const struct manifest *m)
{
    const struct manifest *const parts[] = { m->parts.detector, m->parts.encoder,
        m->parts.decoder };
    char names[3 * MANIFEST_NAME];
    int installed = 1;
    snprintf(names, sizeof names, "%s,%s,%s", parts[0]->name, parts[1]->name, parts[2]->name);
    for (int i = 0; i < 3; i++)
        installed &= parts[i]->files[0].fd >= 0;
    print_line(
        m->name, served_by(m).text, m->licence, "-", names, "-", installed ? "ok" : "missing");
}

/* Prints what is installed; -1 and *e: a file is not its manifest's. */
static int list_models(const struct options *o, struct error *e)
{
    struct manifest *found[MANIFESTS];
    const int count = open_manifests(o, found, e);
    int failed = 0;
    if (count < 0)
        return -1;
    print_line("NETWORK", "SERVES", "LICENCE", "SIZE", "FILE", "BYTES", "STATE");
    for (int i = 0; i < count; i++) {
        if (found[i]->kind == KIND_PROMPTED)
            print_parts(found[i]);
        for (int k = 0; k < found[i]->file_count; k++)
            failed |= print_file(found[i], &found[i]->files[k], e);
    }
    close_manifests(found, count);
    return failed;
}

/* ---- the command `device` ---- */

static int show_device(const struct options *o, struct error *e)
{
    struct device *device = device_open(o->device, e);
    if (!device)
        return -1;
    puts(device_found(device));
    device_close(device);
    return 0;
}

/* ---- what is shown ---- */

static void show_progress(struct progress *p, int64_t done)
{
    double t = now(), rate = (double)done / (t - p->start);
    if (!p->terminal && t - p->told < QUIET_S)
        return;
    p->told = t;
    int64_t total = done > p->total ? done : p->total;
    int percent = (int)(100 * done / total), left = (int)((double)(total - done) / rate + .5);
    if (p->terminal) {
        static const char full[] = "##############################";
        fprintf(stderr, "\r[%-*.*s] %3d %%  %lld frames  %.1f fps  %d:%02d left ", BAR,
            percent * BAR / 100, full, percent, (long long)done, rate, left / 60, left % 60);
    } else {
        fprintf(stderr, "%d %%, %lld frames, %.1f fps, %d s left\n", percent, (long long)done, rate,
            left);
    }
}

static int report(void *data, const struct report *r)
{
    struct progress *p = data;
    switch (r->kind) {
    case REPORT_PROBED:
        p->total = r->frames_total;
        fprintf(stderr, "%dx%d, %.2f s, about %lld frames, %s\n", r->width, r->height,
            (double)r->duration_ms / 1000, (long long)r->frames_total, r->network);
        p->start = now();
        break;
    case REPORT_PROGRESS:
        if (r->frames_done)
            show_progress(p, r->frames_done);
        break;
    case REPORT_WARNING:
        if (p->terminal)
            fputc('\n', stderr);
        show_warning(&r->error);
        break;
    default: break;
    }
    return interrupted;
}

static void show_costs(const struct model *model, int64_t frames)
{
    struct model_cost costs[MODEL_COSTS];
    const int count = model_costs(model, costs);
    for (int i = 0; i < count; i++)
        printf("%s_runs=%lld\n%s_ms_a_frame=%.2f\n", costs[i].name, (long long)costs[i].runs,
            costs[i].name, costs[i].ms / (double)frames);
}

static void show_result(const struct progress *p, const struct pipeline_result *r)
{
    double seconds = now() - p->start;
    if (p->terminal)
        fputc('\n', stderr);
    for (int i = 0; i < STAGES; i++)
        if (r->busy[i] > 0)
            printf("%s_fps=%.1f\n", pipeline_stage_names[i], (double)r->frames / r->busy[i]);
    if (r->need)
        printf("card_mib=%lld\n", (long long)(r->need >> 20));
    printf("frames=%lld\nseconds=%.2f\nfps=%.2f\n", (long long)r->frames, seconds,
        (double)r->frames / seconds);
}

/* ---- the work ---- */

static int run(
    struct options *o, struct models *models, const struct job_files *files, struct error *e)
{
    struct progress progress = { .total = 1, .start = now(), .terminal = isatty(STDERR_FILENO) };
    struct pipeline_result result = { 0 };
    struct device *device = device_open(o->device, e);
    if (!device)
        return -1;
    models->budget = o->budget;
    struct pipeline_params params = {
        .job = &o->job,
        .files = *files,
        .device = device,
        .models = models,
        .threads = o->threads,
        .report = report,
        .data = &progress,
    };
    models->device = device;
    int failed = o->explain && !(params.explain = explain_open(o->explain, e));
    if (!failed)
        failed = pipeline_run(&params, &result, e);
    if (!failed) {
        show_costs(models->model, result.frames);
        show_result(&progress, &result);
    } else if (progress.terminal) {
        fputc('\n', stderr);
    }
    models_close(models);
    explain_close(params.explain);
    device_close(device);
    return failed;
}

/* A file beside the one that is to be, which takes its name when it is whole. */
struct part {
    const char *path; /* NULL: there is none */
    char name[4096];
    int fd;
};

static int open_part(struct part *p, const char *path, struct error *e)
{
    p->fd = -1;
    if (!path)
        return 0;
    if (snprintf(p->name, sizeof p->name, "%s.XXXXXX", path) >= (int)sizeof p->name)
        return error_set(e, "invalid_request", "The output's path is too long.");
    p->fd = mkostemp(p->name, O_CLOEXEC);
    if (p->fd < 0)
        return error_set(e, "storage_error", "%s cannot be made: %s.", p->name, strerror(errno));
    p->path = path;
    return 0;
}

static int finish_part(const struct part *p, struct error *e)
{
    mode_t mask = umask(0);
    umask(mask);
    if (!p->path || (!fchmod(p->fd, 0666 & ~mask) && !fsync(p->fd) && !rename(p->name, p->path)))
        return 0;
    return error_set(e, "storage_error", "%s cannot be written: %s.", p->path, strerror(errno));
}

static void close_part(struct part *p, int failed)
{
    if (!p->path)
        return;
    close(p->fd);
    if (failed)
        unlink(p->name);
}

static int write_output(
    struct options *o, struct models *models, struct job_files *files, struct error *e)
{
    struct part output = { 0 }, alpha = { 0 };
    int failed = open_part(&output, o->output, e) || open_part(&alpha, o->alpha, e);
    files->output = output.fd;
    files->alpha = alpha.fd;
    failed =
        failed || run(o, models, files, e) || finish_part(&alpha, e) || finish_part(&output, e);
    close_part(&output, failed);
    close_part(&alpha, failed);
    return failed ? -1 : 0;
}

static int open_file(const char *path, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set(e, "not_found", "%s cannot be read: %s.", path, strerror(errno)) : fd;
}

static int work(struct options *o, struct error *e)
{
    struct manifest *found[MANIFESTS];
    int count = find_models(o, found, e);
    if (count < 0)
        return -1;
    struct job_files files = { open_file(o->input, e), -1, -1, -1 };
    if (files.input < 0 || (o->image && (files.image = open_file(o->image, e)) < 0))
        return -1;
    struct models models = {
        .manifests = (const struct manifest *const *)found,
        .manifest_count = count,
        .threads = o->threads,
    };
    int failed = models_understand(&models, o->job.model, &o->job.prompt, e);
    if (failed > 0)
        show_warning(e);
    failed = failed < 0 || write_output(o, &models, &files, e);
    close_manifests(found, count);
    close(files.input);
    if (files.image >= 0)
        close(files.image);
    return failed;
}

int main(int argc, char **argv)
{
    nn_start(argv);
    struct options o = { .threads = 1 };
    struct error e = { 0 };
    int result = parse(argc, argv, &o, &e);
    if (result) {
        if (result < 0)
            fprintf(stderr, "matte: %s\n", e.text);
        fputs(usage, result < 0 ? stderr : stdout);
        return result < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    if (o.command != WORK) {
        if (!(o.command == SHOW_DEVICE ? show_device : list_models)(&o, &e))
            return EXIT_SUCCESS;
        fprintf(stderr, "matte: %s (%s)\n", e.text, e.code);
        return EXIT_FAILED;
    }
    struct sigaction action = { .sa_handler = interrupt };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    libav_start();
    if (!work(&o, &e))
        return EXIT_SUCCESS;
    if (interrupted)
        return EXIT_INTERRUPTED;
    fprintf(stderr, "matte: %s: %s (%s)\n", o.input, e.text, e.code);
    return EXIT_FAILED;
}
