#include "timeline.h"

#include <libavutil/mathematics.h>

enum { LATE_MS = 20 };

int64_t timeline_ticks(const struct timeline *t, int64_t at, AVRational base)
{
    return av_rescale_q(at - av_rescale_q(t->start, t->start_base, base), base, t->ticks);
}

int64_t timeline_place(struct timeline *t, int64_t at, AVRational base)
{
    int64_t tick = timeline_ticks(t, at, base);
    if (tick < 0)
        return TIMELINE_DROP;
    if (tick < t->next) {
        int64_t late = av_rescale_q(t->next - tick, t->ticks, (AVRational) { 1, 1000 });
        if (late > LATE_MS)
            return TIMELINE_DROP;
        tick = t->next;
    }
    t->next = tick + t->apart;
    return tick;
}
