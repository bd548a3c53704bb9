/* What a stranger's file may make FFmpeg run. */
#ifndef MATTE_ALLOWED_H
#define MATTE_ALLOWED_H

/* Demuxers; no playlists, no image sequences. */
static const char allowed_formats[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,flv,asf,ogg";

/* Decoders, native and the libraries' own, as whitelists name them. */
static const char allowed_codecs[] =
    "h264,hevc,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,libaom-av1,mpeg4,msmpeg4v2,msmpeg4,"
    "mpeg1video,"
    "mpeg2video,mpegvideo,h263,flv,theora,vc1,wmv1,wmv2,wmv3,mjpeg,prores,dnxhd,ffv1,huffyuv,"
    "rawvideo,"
    "gif,png,"
    "aac,aac_fixed,libfdk_aac,mp3,mp3float,mp2,mp2float,ac3,eac3,opus,libopus,vorbis,libvorbis,"
    "flac,"
    "alac,amrnb,amrwb,wmav1,wmav2,wmapro,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,"
    "pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,adpcm_ima_wav,adpcm_ms";

#endif
