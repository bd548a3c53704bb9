/*
 * What kernels that enlarge a small picture of network size to a large one have in common: a block makes a tile of
 * the large picture and holds the small samples under it in shared memory.
 */
#ifndef MATTE_KERNELS_ENLARGE_H
#define MATTE_KERNELS_ENLARGE_H

enum {
    ENLARGE_LOW_WIDTH = 40, /* small samples that a block can hold */
    ENLARGE_LOW_HEIGHT = 24,
    ENLARGE_SAMPLES = ENLARGE_LOW_WIDTH * ENLARGE_LOW_HEIGHT,
    ENLARGE_TILE = 128, /* pixels a side, at most */
    ENLARGE_THREADS = 256,
};

struct enlargement {
    int width, height;           /* of the large picture */
    int low_width, low_height;   /* of the small one */
    int tile_width, tile_height; /* enlarge_tile(); multiples of 4 */
};

/*
 * Pixels along one axis of which the small samples, and two more around them, fit into the `held` of a block; 0 where
 * the small picture is more than about four times as large as the large one.
 */
static inline int enlarge_tile(int size, int low, int held)
{
    int tile = ENLARGE_TILE;
    while (tile >= 4 && (double)tile * low / size + 6 > held)
        tile /= 2;
    return tile < 4 ? 0 : tile;
}

/* tile_width or tile_height is 0 where there is no kernel for it. */
static inline struct enlargement enlargement(int width, int height, int low_width, int low_height)
{
    const struct enlargement e = { width, height, low_width, low_height,
        enlarge_tile(width, low_width, ENLARGE_LOW_WIDTH),
        enlarge_tile(height, low_height, ENLARGE_LOW_HEIGHT) };
    return e;
}

#endif
