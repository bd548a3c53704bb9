/* VP9: profiles 0 and 2. A card is given whole frames, as every decoder is. */
#include "codec.h"

static int headers(uint8_t *to, const CUVIDPICPARAMS *p)
{
    return 0;
}

const struct codec codec_vp9 = {
    .type = cudaVideoCodec_VP9,
    .id = AV_CODEC_ID_VP9,
    .side_max = 8192,
    .depth = 10,
    .headers = headers,
};
