#include "filter.h"

#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/mathematics.h>
#include <stdio.h>
#include <stdlib.h>

#include "libav.h"

static const char failed[] = "The pictures cannot be filtered";

struct filter {
    AVRational time_base;
    AVFilterGraph *graph;
    AVFilterContext *source, *sink;
};

static int make_graph(struct filter *f, const struct filter_params *p)
{
    char source[256];
    snprintf(source, sizeof source,
        "video_size=%dx%d:pix_fmt=%d:time_base=%d/%d:pixel_aspect=%d/%d", p->width, p->height,
        p->pixel_format, p->time_base.num, p->time_base.den, p->aspect.num > 0 ? p->aspect.num : 1,
        p->aspect.num > 0 ? p->aspect.den : 1);
    AVFilterInOut *in = avfilter_inout_alloc(), *out = avfilter_inout_alloc();
    f->graph = avfilter_graph_alloc();
    int result = in && out && f->graph ? 0 : AVERROR(ENOMEM);
    if (result >= 0) {
        f->graph->nb_threads = p->threads;
        result = avfilter_graph_create_filter(
            &f->source, avfilter_get_by_name("buffer"), "in", source, NULL, f->graph);
    }
    if (result >= 0)
        result = avfilter_graph_create_filter(
            &f->sink, avfilter_get_by_name("buffersink"), "out", NULL, NULL, f->graph);
    if (result >= 0) {
        *out = (AVFilterInOut) { av_strdup("in"), f->source, 0, NULL };
        *in = (AVFilterInOut) { av_strdup("out"), f->sink, 0, NULL };
        result = avfilter_graph_parse_ptr(f->graph, p->description, &in, &out, NULL);
    }
    if (result >= 0)
        result = avfilter_graph_config(f->graph, NULL);
    avfilter_inout_free(&in);
    avfilter_inout_free(&out);
    return result;
}

struct filter *filter_open(const struct filter_params *params, struct error *e)
{
    struct filter *f = calloc(1, sizeof *f);
    if (!f) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    f->time_base = params->time_base;
    int result = make_graph(f, params);
    if (result >= 0)
        return f;
    libav_error(e, "encode_error", failed, result);
    filter_close(f);
    return NULL;
}

int filter_send(struct filter *filter, AVFrame *picture)
{
    return av_buffersrc_add_frame(filter->source, picture);
}

int filter_receive(struct filter *filter, AVFrame *picture)
{
    int result = av_buffersink_get_frame(filter->sink, picture);
    AVRational base = av_buffersink_get_time_base(filter->sink);
    if (result >= 0 && picture->pts != AV_NOPTS_VALUE)
        picture->pts = av_rescale_q(picture->pts, base, filter->time_base);
    return result < 0 ? result : 0;
}

void filter_close(struct filter *filter)
{
    if (!filter)
        return;
    avfilter_graph_free(&filter->graph);
    free(filter);
}
