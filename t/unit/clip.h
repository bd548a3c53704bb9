/* Clips made by the ffmpeg program for tests, and files that vanish. */
#ifndef MATTE_CLIP_H
#define MATTE_CLIP_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* An empty file without a name. */
static int scratch(void)
{
    char path[] = "/tmp/matte-unit.XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* The file that ffmpeg makes of these arguments; the last of them names the format: "... -f mp4". */
static int clip(const char *args)
{
    char path[] = "/tmp/matte-unit.XXXXXX", command[2048];
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    snprintf(command, sizeof command, "ffmpeg -v error -nostdin -y %s %s", args, path);
    int status = system(command);
    unlink(path);
    assert_int_equal(status, 0);
    return fd;
}

#define TEST_CLIP                                                                          \
    "-f lavfi -i testsrc2=size=160x90:rate=25:duration=1.2 -f lavfi -i sine=duration=1.2 " \
    "-c:v libx264 -preset ultrafast -c:a aac -f mp4"

#endif
