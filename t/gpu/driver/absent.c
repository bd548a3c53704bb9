/*
 * Functions that FFmpeg's loader looks for and nothing here calls. A file of its own, without <cuda.h>: their types do not
 * matter. Each says that it was called, and fails.
 */
void cuemu_say(const char *format, ...);

enum { NOT_SUPPORTED = 801 };

#define ABSENT(name)                                              \
    __attribute__((visibility("default"))) int name(void);        \
    int name(void)                                                \
    {                                                             \
        cuemu_say("%s was called, which is not emulated", #name); \
        return NOT_SUPPORTED;                                     \
    }

ABSENT(cuMemAllocManaged)
ABSENT(cuStreamAddCallback)
ABSENT(cuLinkCreate)
ABSENT(cuLinkAddData)
ABSENT(cuLinkComplete)
ABSENT(cuLinkDestroy)
ABSENT(cuModuleGetGlobal)
ABSENT(cuTexObjectCreate)
ABSENT(cuTexObjectDestroy)
ABSENT(cuGLGetDevices_v2)
ABSENT(cuGraphicsGLRegisterImage)
ABSENT(cuGraphicsUnregisterResource)
ABSENT(cuGraphicsMapResources)
ABSENT(cuGraphicsUnmapResources)
ABSENT(cuGraphicsSubResourceGetMappedArray)
ABSENT(cuGraphicsResourceGetMappedPointer_v2)
ABSENT(cuArray3DCreate_v2)
ABSENT(cuArrayDestroy)
