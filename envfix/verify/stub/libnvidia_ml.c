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

/* What the GPUs are doing, so that what watches them can be tried without one. Each is a list, of which every
 * question takes the next and after the last the first; where it is not set, the GPU does not tell.
 *
 *   ENVFIX_STUB_UTILISATION  percents of time with a kernel: "0,50,100"
 *   ENVFIX_STUB_USED_MIB     memory in use: "3,812"
 *   ENVFIX_STUB_TEMPERATURE  degrees Celsius: "41"
 *   ENVFIX_STUB_MILLIWATTS   power: "27500"; the limit is 70 W
 *   ENVFIX_STUB_PID          one process, which holds the first of these */
typedef struct {
  unsigned gpu, memory;
} Utilisation;

typedef struct {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
} Process;

enum { INSUFFICIENT_SIZE = 7 };

static int next_of(const char *name, unsigned *asked, int *value) {
  const char *at = getenv(name);
  unsigned skip, length = 1;
  if (!at || !*at) return NOT_SUPPORTED;
  for (const char *one = at; *one; one++) length += *one == ',';
  for (skip = (*asked)++ % length; skip; skip--) at = strchr(at, ',') + 1;
  *value = atoi(at);
  return SUCCESS;
}

static unsigned long long used_by(const Gpu *gpu) {
  static unsigned asked[MAX_GPUS];
  int mib = 0;
  return next_of("ENVFIX_STUB_USED_MIB", &asked[gpu->index], &mib) == SUCCESS ? (unsigned long long)mib << 20 : 0;
}

EXPORT int nvmlDeviceGetMemoryInfo(Gpu *gpu, Memory *memory) {
  WITH_DEVICE(gpu);
  memory->total = gpu->bytes;
  memory->used = used_by(gpu);
  memory->available = memory->total - memory->used;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(Gpu *gpu, MemoryV2 *memory) {
  WITH_DEVICE(gpu);
  memory->total = gpu->bytes;
  memory->reserved = 0;
  memory->used = used_by(gpu);
  memory->available = memory->total - memory->used;
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

EXPORT int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilisation *rates) {
  static unsigned asked[MAX_GPUS];
  int percent, code;
  WITH_DEVICE(gpu);
  code = next_of("ENVFIX_STUB_UTILISATION", &asked[gpu->index], &percent);
  if (code == SUCCESS) rates->gpu = (unsigned)percent, rates->memory = (unsigned)percent / 2;
  return code;
}

EXPORT int nvmlDeviceGetTemperature(Gpu *gpu, int sensor, unsigned *degrees) {
  static unsigned asked[MAX_GPUS];
  (void)sensor;
  WITH_DEVICE(gpu);
  return next_of("ENVFIX_STUB_TEMPERATURE", &asked[gpu->index], (int *)degrees);
}

EXPORT int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *milliwatts) {
  static unsigned asked[MAX_GPUS];
  WITH_DEVICE(gpu);
  return next_of("ENVFIX_STUB_MILLIWATTS", &asked[gpu->index], (int *)milliwatts);
}

EXPORT int nvmlDeviceGetEnforcedPowerLimit(Gpu *gpu, unsigned *milliwatts) {
  WITH_DEVICE(gpu);
  if (!getenv("ENVFIX_STUB_MILLIWATTS")) return NOT_SUPPORTED;
  *milliwatts = 70000;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(Gpu *gpu, unsigned *count, Process *processes) {
  int pid = from_environment("ENVFIX_STUB_PID", 0);
  unsigned room = *count;
  WITH_DEVICE(gpu);
  *count = pid ? 1 : 0;
  if (!pid) return SUCCESS;
  if (room < 1 || !processes) return INSUFFICIENT_SIZE;
  memset(processes, 0, sizeof *processes);
  processes->pid = (unsigned)pid;
  processes->used = (unsigned long long)from_environment("ENVFIX_STUB_USED_MIB", 0) << 20;
  return SUCCESS;
}

EXPORT int nvmlDeviceGetGraphicsRunningProcesses_v3(Gpu *gpu, unsigned *count, Process *processes) {
  (void)processes;
  WITH_DEVICE(gpu);
  *count = 0;
  return SUCCESS;
}
