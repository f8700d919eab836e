/* The machine that the driver stub answers for, read from the environment:
 *
 *   ENVFIX_STUB_GPUS            "NAME|COMPUTE_CAPABILITY|MEMORY_MIB" of each GPU, separated by ";"
 *   ENVFIX_STUB_DRIVER_CUDA     the driver's CUDA as cuDriverGetVersion encodes it: 12040 is 12.4
 *   ENVFIX_STUB_DRIVER_RELEASE  the driver's release: 550.54.15
 *   ENVFIX_STUB_CUINIT          what cuInit returns instead of success: 34, 100, 803, 804, 999, ...
 *   ENVFIX_STUB_FAIL            "FUNCTION=CODE" of any other function, separated by ",": cuModuleLoadData=222
 */
#ifndef ENVFIX_STUB_MACHINE_H
#define ENVFIX_STUB_MACHINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_GPUS 32

typedef struct {
  char name[96];
  int major, minor;
  unsigned long long bytes;
  int index; /* position on the machine: bus number and UUID follow from it */
} Gpu;

static Gpu gpus[MAX_GPUS];
static int gpu_count;

static int from_environment(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text && *text ? atoi(text) : otherwise;
}

/* What ENVFIX_STUB_FAIL wants `function` to return, 0 where it says nothing. A function is asked for by its
 * name in the API reference: `cuMemAlloc` is `cuMemAlloc_v2` too. */
static int failure_of(const char *function) {
  const char *at = getenv("ENVFIX_STUB_FAIL");
  const char *version = strstr(function, "_v");
  size_t length = version ? (size_t)(version - function) : strlen(function);
  for (; at && *at; at += strcspn(at, ","), at += *at == ',')
    if (strncmp(at, function, length) == 0 && at[length] == '=') return atoi(at + length + 1);
  return 0;
}

/* Fills `gpus`; returns 0, or -1 when the description cannot be read (said on standard error). */
static int read_gpus(void) {
  const char *at = getenv("ENVFIX_STUB_GPUS");
  gpu_count = 0;
  while (at && *at && gpu_count < MAX_GPUS) {
    Gpu *gpu = &gpus[gpu_count];
    unsigned long long mib = 0;
    if (sscanf(at, "%95[^|;]|%d.%d|%llu", gpu->name, &gpu->major, &gpu->minor, &mib) != 4) {
      fprintf(stderr, "envfix driver stub: ENVFIX_STUB_GPUS is not NAME|X.Y|MIB[;...]: %s\n", at);
      return -1;
    }
    gpu->bytes = mib << 20;
    gpu->index = gpu_count++;
    at = strchr(at, ';');
    if (at) at++;
  }
  return 0;
}

static void uuid_of(const Gpu *gpu, unsigned char uuid[16]) {
  static const unsigned char base[16] = {'e', 'n', 'v', 'f', 'i', 'x', 0x40, '-', 0x80, 's', 't', 'u', 'b', 0, 0, 0};
  memcpy(uuid, base, 16);
  uuid[15] = (unsigned char)gpu->index;
}

static int bus_of(const Gpu *gpu) { return 4 + gpu->index; }

#endif
