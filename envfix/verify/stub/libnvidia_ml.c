/* A stand-in for NVIDIA's libnvidia-ml.so.1: the questions that TensorFlow, NCCL and envfix's own probe ask,
 * answered from the same description as libcuda.c. Numbers follow the NVML API reference
 * (docs.nvidia.com/deploy/nvml-api). Like the real one it ignores CUDA_VISIBLE_DEVICES. */
#include "machine.h"

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, UNKNOWN = 999 };

typedef struct {
  unsigned long long total, available, used;
} Memory;

typedef struct {
  unsigned version;
  unsigned long long total, reserved, available, used;
} MemoryV2;

typedef struct {
  char legacy_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char id[32];
} Pci;

static int users;

#define WHEN_READY \
  if (!users) return UNINITIALIZED
#define WITH_DEVICE(gpu) \
  WHEN_READY;            \
  if ((gpu) < gpus || (gpu) >= gpus + gpu_count) return INVALID_ARGUMENT

EXPORT int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  if (!users && read_gpus() != 0) return UNKNOWN;
  if (gpu_count == 0) return DRIVER_NOT_LOADED;
  users++;
  return SUCCESS;
}

EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
EXPORT int nvmlInit(void) { return nvmlInitWithFlags(0); }

EXPORT int nvmlShutdown(void) {
  WHEN_READY;
  users--;
  return SUCCESS;
}

EXPORT const char *nvmlErrorString(int code) {
  switch (code) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    default: return "Unknown Error";
  }
}

EXPORT int nvmlSystemGetDriverVersion(char *text, unsigned size) {
  const char *release = getenv("ENVFIX_STUB_DRIVER_RELEASE");
  WHEN_READY;
  if (!release) return NOT_SUPPORTED;
  snprintf(text, size, "%s", release);
  return SUCCESS;
}

EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version) {
  *version = from_environment("ENVFIX_STUB_DRIVER_CUDA", 12040);
  return SUCCESS;
}

EXPORT int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
  WHEN_READY;
  *count = (unsigned)gpu_count;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) {
  WHEN_READY;
  if (index >= (unsigned)gpu_count) return INVALID_ARGUMENT;
  *gpu = &gpus[index];
  return SUCCESS;
}

EXPORT int nvmlDeviceGetName(Gpu *gpu, char *name, unsigned size) {
  WITH_DEVICE(gpu);
  snprintf(name, size, "%s", gpu->name);
  return SUCCESS;
}

EXPORT int nvmlDeviceGetCudaComputeCapability(Gpu *gpu, int *major, int *minor) {
  WITH_DEVICE(gpu);
  *major = gpu->major;
  *minor = gpu->minor;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo(Gpu *gpu, Memory *memory) {
  WITH_DEVICE(gpu);
  memory->total = memory->available = gpu->bytes;
  memory->used = 0;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(Gpu *gpu, MemoryV2 *memory) {
  WITH_DEVICE(gpu);
  memory->total = memory->available = gpu->bytes;
  memory->reserved = memory->used = 0;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetUUID(Gpu *gpu, char *text, unsigned size) {
  unsigned char u[16];
  WITH_DEVICE(gpu);
  uuid_of(gpu, u);
  snprintf(text, size, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
           u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
  return SUCCESS;
}

EXPORT int nvmlDeviceGetPciInfo_v3(Gpu *gpu, Pci *pci) {
  WITH_DEVICE(gpu);
  memset(pci, 0, sizeof *pci);
  pci->bus = (unsigned)bus_of(gpu);
  snprintf(pci->legacy_id, sizeof pci->legacy_id, "0000:%02X:00.0", pci->bus);
  snprintf(pci->id, sizeof pci->id, "00000000:%02X:00.0", pci->bus);
  return SUCCESS;
}
