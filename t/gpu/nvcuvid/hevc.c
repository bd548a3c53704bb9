/*
 * HEVC: 4:2:0 of 8 and 10 bits, pictures that name their references themselves (no sets of them in the SPS, none kept for
 * long), no scaling lists. ITU-T H.265, 7.3.2.1 to 7.3.2.3 and 7.3.3.
 */
#include "bits.h"
#include "codec.h"

enum {
    PROFILE_MAIN = 1,
    PROFILE_MAIN_10 = 2,
    LEVEL = 186, /* 6.2 */
    PICTURES_MAX = 16,
    NAL_BLA = 16, /* to 23: pictures that decoding can begin at */
    NAL_RANDOM_ACCESS_LAST = 23,
};

static const uint8_t vps_header[] = { 32 << 1, 1 }, sps_header[] = { 33 << 1, 1 },
                     pps_header[] = { 34 << 1, 1 };

static void put_profile(struct bits *b, const CUVIDHEVCPICPARAMS *h)
{
    unsigned profile = h->bit_depth_luma_minus8 ? PROFILE_MAIN_10 : PROFILE_MAIN;
    put(b, 0, 2); /* profile space */
    put(b, 0, 1); /* tier */
    put(b, profile, 5);
    put(b, 0x80000000u >> profile, 32); /* what it is compatible with */
    put(b, 0x9, 4);                     /* progressive, frames only */
    put(b, 0, 32);
    put(b, 0, 12);
    put(b, LEVEL, 8);
}

/* How many pictures are kept, as many as there may be. */
static void put_buffering(struct bits *b)
{
    put(b, 1, 1);
    put_ue(b, PICTURES_MAX - 1);
    put_ue(b, PICTURES_MAX - 1);
    put_ue(b, 0);
}

static int write_vps(uint8_t *to, const CUVIDHEVCPICPARAMS *h)
{
    struct bits b = { 0 };
    put(&b, 0, 4); /* its id */
    put(&b, 3, 2); /* of the base layer, which is here */
    put(&b, 0, 6); /* one layer */
    put(&b, 0, 3); /* one sub-layer */
    put(&b, 1, 1);
    put(&b, 0xffff, 16);
    put_profile(&b, h);
    put_buffering(&b);
    put(&b, 0, 6);
    put_ue(&b, 0); /* one layer set */
    put(&b, 0, 1); /* no times */
    put(&b, 0, 1); /* no extension */
    return write_nal(to, vps_header, sizeof vps_header, &b);
}

static int write_sps(uint8_t *to, const CUVIDHEVCPICPARAMS *h)
{
    struct bits b = { 0 };
    put(&b, 0, 4); /* of the VPS */
    put(&b, 0, 3); /* one sub-layer */
    put(&b, 1, 1);
    put_profile(&b, h);
    put_ue(&b, 0); /* its id */
    put_ue(&b, 1); /* 4:2:0 */
    put_ue(&b, (unsigned)h->pic_width_in_luma_samples);
    put_ue(&b, (unsigned)h->pic_height_in_luma_samples);
    put(&b, 0, 1); /* no cropping */
    put_ue(&b, h->bit_depth_luma_minus8);
    put_ue(&b, h->bit_depth_chroma_minus8);
    put_ue(&b, h->log2_max_pic_order_cnt_lsb_minus4);
    put_buffering(&b);
    put_ue(&b, h->log2_min_luma_coding_block_size_minus3);
    put_ue(&b, h->log2_diff_max_min_luma_coding_block_size);
    put_ue(&b, h->log2_min_transform_block_size_minus2);
    put_ue(&b, h->log2_diff_max_min_transform_block_size);
    put_ue(&b, h->max_transform_hierarchy_depth_inter);
    put_ue(&b, h->max_transform_hierarchy_depth_intra);
    put(&b, 0, 1); /* no scaling list */
    put(&b, h->amp_enabled_flag, 1);
    put(&b, h->sample_adaptive_offset_enabled_flag, 1);
    put(&b, h->pcm_enabled_flag, 1);
    if (h->pcm_enabled_flag) {
        put(&b, h->pcm_sample_bit_depth_luma_minus1, 4);
        put(&b, h->pcm_sample_bit_depth_chroma_minus1, 4);
        put_ue(&b, h->log2_min_pcm_luma_coding_block_size_minus3);
        put_ue(&b, h->log2_diff_max_min_pcm_luma_coding_block_size);
        put(&b, h->pcm_loop_filter_disabled_flag, 1);
    }
    put_ue(&b, 0); /* no sets of references */
    put(&b, 0, 1); /* none kept for long */
    put(&b, h->sps_temporal_mvp_enabled_flag, 1);
    put(&b, h->strong_intra_smoothing_enabled_flag, 1);
    put(&b, 0, 1); /* no VUI */
    put(&b, 0, 1); /* no extension */
    return write_nal(to, sps_header, sizeof sps_header, &b);
}

static void put_tiles(struct bits *b, const CUVIDHEVCPICPARAMS *h)
{
    put_ue(b, h->num_tile_columns_minus1);
    put_ue(b, h->num_tile_rows_minus1);
    put(b, h->uniform_spacing_flag, 1);
    if (!h->uniform_spacing_flag) {
        for (int i = 0; i < h->num_tile_columns_minus1; i++)
            put_ue(b, h->column_width_minus1[i]);
        for (int i = 0; i < h->num_tile_rows_minus1; i++)
            put_ue(b, h->row_height_minus1[i]);
    }
    put(b, h->loop_filter_across_tiles_enabled_flag, 1);
}

static int write_pps(uint8_t *to, const CUVIDHEVCPICPARAMS *h, unsigned id)
{
    struct bits b = { 0 };
    put_ue(&b, id);
    put_ue(&b, 0); /* of the SPS */
    put(&b, h->dependent_slice_segments_enabled_flag, 1);
    put(&b, h->output_flag_present_flag, 1);
    put(&b, h->num_extra_slice_header_bits, 3);
    put(&b, h->sign_data_hiding_enabled_flag, 1);
    put(&b, h->cabac_init_present_flag, 1);
    put_ue(&b, h->num_ref_idx_l0_default_active_minus1);
    put_ue(&b, h->num_ref_idx_l1_default_active_minus1);
    put_se(&b, h->init_qp_minus26);
    put(&b, h->constrained_intra_pred_flag, 1);
    put(&b, h->transform_skip_enabled_flag, 1);
    put(&b, h->cu_qp_delta_enabled_flag, 1);
    if (h->cu_qp_delta_enabled_flag)
        put_ue(&b, h->diff_cu_qp_delta_depth);
    put_se(&b, h->pps_cb_qp_offset);
    put_se(&b, h->pps_cr_qp_offset);
    put(&b, h->pps_slice_chroma_qp_offsets_present_flag, 1);
    put(&b, h->weighted_pred_flag, 1);
    put(&b, h->weighted_bipred_flag, 1);
    put(&b, h->transquant_bypass_enabled_flag, 1);
    put(&b, h->tiles_enabled_flag, 1);
    put(&b, h->entropy_coding_sync_enabled_flag, 1);
    if (h->tiles_enabled_flag)
        put_tiles(&b, h);
    put(&b, h->loop_filter_across_slices_enabled_flag, 1);
    put(&b, 1, 1); /* the deblocking filter is said */
    put(&b, h->deblocking_filter_override_enabled_flag, 1);
    put(&b, h->pps_deblocking_filter_disabled_flag, 1);
    if (!h->pps_deblocking_filter_disabled_flag) {
        put_se(&b, h->pps_beta_offset_div2);
        put_se(&b, h->pps_tc_offset_div2);
    }
    put(&b, 0, 1); /* no scaling list */
    put(&b, h->lists_modification_present_flag, 1);
    put_ue(&b, h->log2_parallel_merge_level_minus2);
    put(&b, h->slice_segment_header_extension_present_flag, 1);
    put(&b, 0, 1); /* no extension */
    return write_nal(to, pps_header, sizeof pps_header, &b);
}

/* The PPS that the first slice names. */
static unsigned pps_of(const CUVIDPICPARAMS *p)
{
    const uint8_t *slice = p->pBitstreamData + p->pSliceDataOffsets[0];
    while (!*slice)
        slice++;
    int type = slice[1] >> 1, at = 0;
    slice += 3;           /* the end of the start code, the header */
    read_bit(slice, &at); /* first_slice_segment_in_pic_flag */
    if (type >= NAL_BLA && type <= NAL_RANDOM_ACCESS_LAST)
        read_bit(slice, &at); /* no_output_of_prior_pics_flag */
    return read_ue(slice, &at);
}

static int headers(uint8_t *to, const CUVIDPICPARAMS *p)
{
    const CUVIDHEVCPICPARAMS *h = &p->CodecSpecific.hevc;
    if (h->num_short_term_ref_pic_sets || h->long_term_ref_pics_present_flag ||
        h->scaling_list_enable_flag || h->separate_colour_plane_flag)
        return -1;
    int n = write_vps(to, h);
    n += write_sps(to + n, h);
    return n + write_pps(to + n, h, pps_of(p));
}

const struct codec codec_hevc = {
    .type = cudaVideoCodec_HEVC,
    .id = AV_CODEC_ID_HEVC,
    .side_max = 8192,
    .depth = 10,
    .headers = headers,
};
