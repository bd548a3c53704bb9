/* Colours of what is surely foreground, or background, spread over the whole picture (solve_math.h). One thread. */
#ifndef MATTE_CPU_SPREAD_H
#define MATTE_CPU_SPREAD_H

#include "../solve_math.h"

struct cpu_spread;

/* NULL: no memory. */
struct cpu_spread *cpu_spread_open(int width, int height);

/* picture: planes of R'G'B'; side: 0: the foreground, 1: the background. Both planes are kept until the last
 * cpu_spread_at(). */
void cpu_spread_run(struct cpu_spread *spread, struct spread how, const float *picture,
    const float *alpha, int side);

/* The colour at a pixel; its weight is how near by it was known. */
struct tint cpu_spread_at(const struct cpu_spread *spread, int x, int y);

/* May be NULL. */
void cpu_spread_close(struct cpu_spread *spread);

#endif
