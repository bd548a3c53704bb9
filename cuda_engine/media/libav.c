#include "libav.h"

#include <libavutil/error.h>
#include <libavutil/log.h>

void libav_start(void)
{
    av_log_set_level(AV_LOG_QUIET);
}

int libav_error(struct error *e, const char *code, const char *what, int result)
{
    char text[AV_ERROR_MAX_STRING_SIZE];
    av_strerror(result, text, sizeof text);
    switch (result) {
    case AVERROR(ENOMEM): return error_retry(e, "out_of_memory", "%s: there is no memory.", what);
    case AVERROR(ENOSPC):
    case AVERROR(EDQUOT):
    case AVERROR(EFBIG):
    case AVERROR(EIO): return error_retry(e, "storage_error", "%s: %s.", what, text);
    default: return error_set(e, code, "%s: %s.", what, text);
    }
}
