/* H.264: 4:2:0 of 8 bits, picture order counts of types 0 and 2, no scaling matrices. ITU-T H.264, 7.3.2.1 and 7.3.2.2. */
#include "bits.h"
#include "codec.h"

enum { SPS = 0x67, PPS = 0x68, PROFILE_HIGH = 100, LEVEL = 51 };

static int write_sps(uint8_t *to, const CUVIDPICPARAMS *p)
{
    const CUVIDH264PICPARAMS *h = &p->CodecSpecific.h264;
    const uint8_t header = SPS;
    struct bits b = { 0 };
    put(&b, PROFILE_HIGH, 8);
    put(&b, 0, 8);
    put(&b, LEVEL, 8);
    put_ue(&b, 0); /* its id */
    put_ue(&b, 1); /* 4:2:0 */
    put_ue(&b, h->bit_depth_luma_minus8);
    put_ue(&b, h->bit_depth_chroma_minus8);
    put(&b, h->qpprime_y_zero_transform_bypass_flag, 1);
    put(&b, 0, 1); /* no scaling matrix */
    put_ue(&b, (unsigned)h->log2_max_frame_num_minus4);
    put_ue(&b, (unsigned)h->pic_order_cnt_type);
    if (h->pic_order_cnt_type == 0)
        put_ue(&b, (unsigned)h->log2_max_pic_order_cnt_lsb_minus4);
    put_ue(&b, (unsigned)h->num_ref_frames);
    put(&b, 0, 1); /* no gaps in frame_num */
    put_ue(&b, (unsigned)p->PicWidthInMbs - 1);
    put_ue(&b, (unsigned)p->FrameHeightInMbs / (h->frame_mbs_only_flag ? 1 : 2) - 1);
    put(&b, (unsigned)h->frame_mbs_only_flag, 1);
    if (!h->frame_mbs_only_flag)
        put(&b, (unsigned)h->MbaffFrameFlag, 1);
    put(&b, (unsigned)h->direct_8x8_inference_flag, 1);
    put(&b, 0, 1); /* no cropping */
    put(&b, 0, 1); /* no VUI */
    return write_nal(to, &header, 1, &b);
}

static int write_pps(uint8_t *to, const CUVIDH264PICPARAMS *h, unsigned id)
{
    const uint8_t header = PPS;
    struct bits b = { 0 };
    put_ue(&b, id);
    put_ue(&b, 0); /* of the SPS */
    put(&b, (unsigned)h->entropy_coding_mode_flag, 1);
    put(&b, (unsigned)h->pic_order_present_flag, 1);
    put_ue(&b, 0); /* one slice group */
    put_ue(&b, (unsigned)h->num_ref_idx_l0_active_minus1);
    put_ue(&b, (unsigned)h->num_ref_idx_l1_active_minus1);
    put(&b, (unsigned)h->weighted_pred_flag, 1);
    put(&b, (unsigned)h->weighted_bipred_idc, 2);
    put_se(&b, h->pic_init_qp_minus26);
    put_se(&b, 0); /* pic_init_qs */
    put_se(&b, h->chroma_qp_index_offset);
    put(&b, (unsigned)h->deblocking_filter_control_present_flag, 1);
    put(&b, (unsigned)h->constrained_intra_pred_flag, 1);
    put(&b, (unsigned)h->redundant_pic_cnt_present_flag, 1);
    put(&b, (unsigned)h->transform_8x8_mode_flag, 1);
    put(&b, 0, 1); /* no scaling matrix */
    put_se(&b, h->second_chroma_qp_index_offset);
    return write_nal(to, &header, 1, &b);
}

/* The PPS that the first slice names. */
static unsigned pps_of(const CUVIDPICPARAMS *p)
{
    const uint8_t *slice = p->pBitstreamData + p->pSliceDataOffsets[0];
    int at = 0;
    while (!*slice)
        slice++;
    slice += 2;          /* the end of the start code, the header */
    read_ue(slice, &at); /* first_mb_in_slice */
    read_ue(slice, &at); /* slice_type */
    return read_ue(slice, &at);
}

static int headers(uint8_t *to, const CUVIDPICPARAMS *p)
{
    const CUVIDH264PICPARAMS *h = &p->CodecSpecific.h264;
    if (h->pic_order_cnt_type == 1)
        return -1;
    int n = write_sps(to, p);
    return n + write_pps(to + n, h, pps_of(p));
}

const struct codec codec_h264 = {
    .type = cudaVideoCodec_H264,
    .id = AV_CODEC_ID_H264,
    .side_max = 4096,
    .depth = 8,
    .headers = headers,
};
