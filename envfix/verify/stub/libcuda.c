/* A stand-in for NVIDIA's libcuda.so.1 that describes GPUs and runs nothing.
 *
 * TensorFlow decides whether a GPU exists by opening libraries and asking the driver; this answers the
 * questions (machine.h says from what) so that a real wheel goes through its real loading path on a machine
 * without a GPU. Whatever would run or move something on a device (allocate, copy, load code, launch) returns
 * CUDA_ERROR_NOT_SUPPORTED: a proof made with this library can never look like a run on a GPU.
 *
 * Signatures and numbers follow the CUDA driver API reference (docs.nvidia.com/cuda/cuda-driver-api).
 */
#include <stdint.h>

#include "machine.h"

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  NOT_FOUND = 500,
  NOT_SUPPORTED = 801,
  UNKNOWN = 999
};

typedef struct {
  int device;
  int retained;
  unsigned flags;
} Context;

static int ready;
static Context primary[MAX_GPUS];
static __thread Context *stack[16];
static __thread int depth;

#define UNLESS_FAILING \
  if (failure_of(__func__)) return failure_of(__func__)
#define WHEN_READY                    \
  if (!ready) return NOT_INITIALIZED; \
  UNLESS_FAILING
#define WITH_DEVICE(ordinal) \
  WHEN_READY;                \
  if ((ordinal) < 0 || (ordinal) >= gpu_count) return INVALID_DEVICE
#define ALIAS(fresh, old) extern EXPORT __typeof(old) fresh __attribute__((alias(#old)))

/* -- initialisation and version */

/* CUDA_VISIBLE_DEVICES, ordinals only: the list ends at the first one that the driver does not know. */
static void keep_visible_gpus(void) {
  const char *at = getenv("CUDA_VISIBLE_DEVICES");
  Gpu all[MAX_GPUS];
  int known = gpu_count;
  if (!at) return;
  memcpy(all, gpus, sizeof all);
  gpu_count = 0;
  while (*at && gpu_count < MAX_GPUS) {
    char *end;
    long ordinal = strtol(at, &end, 10);
    if (end == at || ordinal < 0 || ordinal >= known) return;
    gpus[gpu_count++] = all[ordinal];
    at = *end == ',' ? end + 1 : "";
  }
}

EXPORT int cuInit(unsigned flags) {
  int code = from_environment("ENVFIX_STUB_CUINIT", SUCCESS);
  if (code != SUCCESS) return code;
  if (flags != 0) return INVALID_VALUE;
  if (ready) return SUCCESS;
  if (read_gpus() != 0) return UNKNOWN;
  keep_visible_gpus();
  if (gpu_count == 0) return NO_DEVICE;
  ready = 1;
  return SUCCESS;
}

EXPORT int cuDriverGetVersion(int *version) {
  UNLESS_FAILING;
  if (!version) return INVALID_VALUE;
  *version = from_environment("ENVFIX_STUB_DRIVER_CUDA", 12040);
  return SUCCESS;
}

static const struct {
  int code;
  const char *name, *text;
} errors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "API call is not supported in the installed CUDA driver"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {303, "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", "shared object initialization failed"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "forward compatibility was attempted on non supported HW"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static int find_error(int code) {
  for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].code == code) return (int)i;
  return -1;
}

EXPORT int cuGetErrorName(int code, const char **name) {
  UNLESS_FAILING;
  int found = find_error(code);
  *name = found < 0 ? NULL : errors[found].name;
  return found < 0 ? INVALID_VALUE : SUCCESS;
}

EXPORT int cuGetErrorString(int code, const char **text) {
  UNLESS_FAILING;
  int found = find_error(code);
  *text = found < 0 ? NULL : errors[found].text;
  return found < 0 ? INVALID_VALUE : SUCCESS;
}

/* -- devices */

EXPORT int cuDeviceGetCount(int *count) {
  WHEN_READY;
  *count = gpu_count;
  return SUCCESS;
}

EXPORT int cuDeviceGet(int *device, int ordinal) {
  WITH_DEVICE(ordinal);
  *device = ordinal;
  return SUCCESS;
}

EXPORT int cuDeviceGetName(char *name, int size, int device) {
  WITH_DEVICE(device);
  snprintf(name, (size_t)size, "%s", gpus[device].name);
  return SUCCESS;
}

EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  WITH_DEVICE(device);
  *bytes = (size_t)gpus[device].bytes;
  return SUCCESS;
}
ALIAS(cuDeviceTotalMem, cuDeviceTotalMem_v2);

EXPORT int cuDeviceComputeCapability(int *major, int *minor, int device) {
  WITH_DEVICE(device);
  *major = gpus[device].major;
  *minor = gpus[device].minor;
  return SUCCESS;
}

EXPORT int cuDeviceGetUuid(unsigned char uuid[16], int device) {
  WITH_DEVICE(device);
  uuid_of(&gpus[device], uuid);
  return SUCCESS;
}
ALIAS(cuDeviceGetUuid_v2, cuDeviceGetUuid);

EXPORT int cuDeviceGetPCIBusId(char *id, int size, int device) {
  WITH_DEVICE(device);
  snprintf(id, (size_t)size, "0000:%02X:00.0", bus_of(&gpus[device]));
  return SUCCESS;
}

EXPORT int cuDeviceGetByPCIBusId(int *device, const char *id) {
  char known[16];
  WHEN_READY;
  for (int i = 0; i < gpu_count; i++) {
    cuDeviceGetPCIBusId(known, sizeof known, i);
    if (strcmp(known, id) == 0) return *device = i, SUCCESS;
  }
  return INVALID_DEVICE;
}

EXPORT int cuDeviceCanAccessPeer(int *can, int device, int peer) {
  WITH_DEVICE(device);
  WITH_DEVICE(peer);
  *can = 0;
  return SUCCESS;
}

/* What differs between compute capabilities: a common product of each (NVIDIA's data sheets and the table
 * "Technical Specifications per Compute Capability" of the CUDA C++ Programming Guide). */
typedef struct {
  int capability, multiprocessors, threads, shared, shared_optin, l2, clock_khz, memory_khz, bus_bits, blocks;
} Family;

static const Family families[] = {
    {35, 15, 2048, 49152, 49152, 1572864, 745000, 3004000, 384, 16},
    {37, 13, 2048, 114688, 49152, 1572864, 823500, 2505000, 384, 16},
    {50, 5, 2048, 65536, 49152, 2097152, 1124000, 2700000, 128, 32},
    {52, 24, 2048, 98304, 49152, 3145728, 1112000, 3004000, 384, 32},
    {60, 56, 2048, 65536, 49152, 4194304, 1328500, 715000, 4096, 32},
    {61, 28, 2048, 98304, 49152, 2883584, 1582000, 5505000, 352, 32},
    {70, 80, 2048, 98304, 98304, 6291456, 1530000, 877000, 4096, 32},
    {75, 40, 1024, 65536, 65536, 4194304, 1590000, 5001000, 256, 16},
    {80, 108, 2048, 167936, 166912, 41943040, 1410000, 1215000, 5120, 32},
    {86, 28, 1536, 102400, 101376, 2359296, 1777000, 7501000, 192, 16},
    {89, 58, 1536, 102400, 101376, 50331648, 2040000, 6251000, 192, 24},
    {90, 132, 2048, 233472, 232448, 52428800, 1980000, 2619000, 5120, 32},
    {100, 148, 2048, 233472, 232448, 132644864, 1965000, 3996000, 8192, 32},
    {120, 170, 1536, 102400, 101376, 100663296, 2407000, 14001000, 512, 24},
};

static const Family *family_of(const Gpu *gpu) {
  const Family *found = families;
  for (unsigned i = 0; i < sizeof families / sizeof *families; i++)
    if (families[i].capability <= gpu->major * 10 + gpu->minor) found = &families[i];
  return found;
}

EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
  WITH_DEVICE(device);
  const Gpu *gpu = &gpus[device];
  const Family *family = family_of(gpu);
  switch (attribute) {
    case 1: case 2: case 3: *value = 1024; break;             /* threads per block, block x, block y */
    case 4: *value = 64; break;                               /* block z */
    case 5: *value = 2147483647; break;                       /* grid x */
    case 6: case 7: *value = 65535; break;                    /* grid y, z */
    case 8: *value = 49152; break;                            /* shared memory per block */
    case 9: *value = 65536; break;                            /* constant memory */
    case 10: *value = 32; break;                              /* warp size */
    case 11: *value = 2147483647; break;                      /* pitch */
    case 12: case 82: *value = 65536; break;                  /* registers per block, per multiprocessor */
    case 13: *value = family->clock_khz; break;
    case 14: case 30: *value = 512; break;                    /* texture and surface alignment */
    case 16: *value = family->multiprocessors; break;
    case 33: *value = bus_of(gpu); break;                     /* PCI bus */
    case 34: case 50: *value = 0; break;                      /* PCI device, domain */
    case 36: *value = family->memory_khz; break;
    case 37: *value = family->bus_bits; break;
    case 38: *value = family->l2; break;
    case 39: *value = family->threads; break;                 /* threads per multiprocessor */
    case 40: *value = 2; break;                               /* copy engines */
    case 75: *value = gpu->major; break;
    case 76: *value = gpu->minor; break;
    case 81: *value = family->shared; break;                  /* shared memory per multiprocessor */
    case 97: *value = family->shared_optin; break;            /* shared memory per block, opt in */
    case 106: *value = family->blocks; break;                 /* blocks per multiprocessor */
    case 111: *value = gpu->major >= 8 ? 1024 : 0; break;     /* shared memory reserved per block */
    case 120: *value = gpu->major >= 9; break;                /* cluster launch */
    case 15: case 19: case 31: case 41: case 78: case 79: case 80: case 83: case 90: *value = 1; break;
    default: *value = 0;                                      /* what the stub cannot do, it does not claim */
  }
  return SUCCESS;
}

/* -- contexts: they exist, so that the loading path goes on, but nothing can be done in them */

EXPORT int cuDevicePrimaryCtxRetain(Context **context, int device) {
  WITH_DEVICE(device);
  primary[device].device = device;
  primary[device].retained++;
  *context = &primary[device];
  return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
  WITH_DEVICE(device);
  if (primary[device].retained > 0) primary[device].retained--;
  return SUCCESS;
}
ALIAS(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2);

EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  WITH_DEVICE(device);
  *flags = primary[device].flags;
  *active = primary[device].retained > 0;
  return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) {
  WITH_DEVICE(device);
  primary[device].flags = flags;
  return SUCCESS;
}
ALIAS(cuDevicePrimaryCtxSetFlags, cuDevicePrimaryCtxSetFlags_v2);

EXPORT int cuCtxGetCurrent(Context **context) {
  WHEN_READY;
  *context = depth ? stack[depth - 1] : NULL;
  return SUCCESS;
}

EXPORT int cuCtxSetCurrent(Context *context) {
  WHEN_READY;
  if (!context) {
    if (depth) depth--;
    return SUCCESS;
  }
  if (!depth) depth = 1;
  stack[depth - 1] = context;
  return SUCCESS;
}

EXPORT int cuCtxPushCurrent_v2(Context *context) {
  WHEN_READY;
  if (!context || depth == 16) return INVALID_CONTEXT;
  stack[depth++] = context;
  return SUCCESS;
}
ALIAS(cuCtxPushCurrent, cuCtxPushCurrent_v2);

EXPORT int cuCtxPopCurrent_v2(Context **context) {
  WHEN_READY;
  if (!depth) return INVALID_CONTEXT;
  depth--;
  if (context) *context = stack[depth];
  return SUCCESS;
}
ALIAS(cuCtxPopCurrent, cuCtxPopCurrent_v2);

EXPORT int cuCtxGetDevice(int *device) {
  WHEN_READY;
  if (!depth) return INVALID_CONTEXT;
  *device = stack[depth - 1]->device;
  return SUCCESS;
}

EXPORT int cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  WHEN_READY;
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return SUCCESS;
}

EXPORT int cuCtxSynchronize(void) {
  WHEN_READY;
  return SUCCESS;
}

EXPORT int cuMemGetInfo_v2(size_t *available, size_t *total) {
  WHEN_READY;
  if (!depth) return INVALID_CONTEXT;
  *total = (size_t)gpus[stack[depth - 1]->device].bytes;
  *available = *total - *total / 32; /* a fresh driver keeps a few percent for itself */
  return SUCCESS;
}
ALIAS(cuMemGetInfo, cuMemGetInfo_v2);

/* -- what would need a device */

#define REFUSE(name)       \
  EXPORT int name(void) {  \
    WHEN_READY;            \
    return NOT_SUPPORTED;  \
  }
#include "refused.h"
#undef REFUSE

/* -- look-up by name, as the CUDA runtime does it */

#define ENTRY(name) {#name, (void *)name}
#define NEWEST(name, version) {#name, (void *)name##version}
static const struct {
  const char *name;
  void *function;
} table[] = {
    ENTRY(cuInit), ENTRY(cuDriverGetVersion), ENTRY(cuGetErrorName), ENTRY(cuGetErrorString),
    ENTRY(cuDeviceGetCount), ENTRY(cuDeviceGet), ENTRY(cuDeviceGetName), NEWEST(cuDeviceTotalMem, _v2),
    ENTRY(cuDeviceComputeCapability), ENTRY(cuDeviceGetUuid), ENTRY(cuDeviceGetPCIBusId),
    ENTRY(cuDeviceGetByPCIBusId), ENTRY(cuDeviceCanAccessPeer), ENTRY(cuDeviceGetAttribute),
    ENTRY(cuDevicePrimaryCtxRetain), NEWEST(cuDevicePrimaryCtxRelease, _v2), ENTRY(cuDevicePrimaryCtxGetState),
    NEWEST(cuDevicePrimaryCtxSetFlags, _v2), ENTRY(cuCtxGetCurrent), ENTRY(cuCtxSetCurrent),
    NEWEST(cuCtxPushCurrent, _v2), NEWEST(cuCtxPopCurrent, _v2), ENTRY(cuCtxGetDevice),
    ENTRY(cuCtxGetStreamPriorityRange), ENTRY(cuCtxSynchronize), NEWEST(cuMemGetInfo, _v2),
#define REFUSE(name) ENTRY(name),
#include "refused.h"
#undef REFUSE
};

EXPORT int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
  (void)version, (void)flags;
  *function = NULL;
  if (strncmp(name, "cuGetProcAddress", 16) == 0) *function = (void *)cuGetProcAddress_v2;
  for (unsigned i = 0; i < sizeof table / sizeof *table && !*function; i++)
    if (strcmp(table[i].name, name) == 0) *function = table[i].function;
  if (status) *status = *function ? 0 : 1; /* CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND */
  return *function ? SUCCESS : NOT_FOUND;
}

EXPORT int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
