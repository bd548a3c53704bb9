/* A matte without what stands far from the subject and without holes that are not meant (clean_math.h). One thread. */
#ifndef MATTE_CPU_CLEAN_H
#define MATTE_CPU_CLEAN_H

struct cpu_clean;

/* NULL: no memory. */
struct cpu_clean *cpu_clean_open(int width, int height);

/* The next frame's alpha, in place. */
void cpu_clean_run(struct cpu_clean *clean, float *alpha);

/* May be NULL. */
void cpu_clean_close(struct cpu_clean *clean);

#endif
