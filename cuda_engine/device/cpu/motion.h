/* Where the parts of a picture were in the one before it (motion_math.h). One thread. */
#ifndef MATTE_CPU_MOTION_H
#define MATTE_CPU_MOTION_H

#include <stddef.h>

#include "../motion_math.h"

struct cpu_motion;

/* NULL: no memory. */
struct cpu_motion *cpu_motion_open(int width, int height);

/* The next picture's planes of R'G'B'; of the first one nothing is found, and nothing is to be asked. */
void cpu_motion_run(struct cpu_motion *motion, const float *picture);

/* The last picture's pixel that pixel x, y was. */
size_t cpu_motion_from(const struct cpu_motion *motion, int x, int y);

/* May be NULL. */
void cpu_motion_close(struct cpu_motion *motion);

#endif
