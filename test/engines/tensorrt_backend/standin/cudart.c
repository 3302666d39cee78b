/* A stand-in for libcudart.so: the functions that espnet_ros calls, with CUDA's names, signatures and error codes, on
 * the memory of the host.
 *
 * What is put into a stream waits there until the stream is synchronised, as on a GPU that is slow; a result that is
 * read too early is an old one. A copy is refused where an address is on the wrong side.
 *
 * Environment: STANDIN_GPU is "name:major.minor", "" for a machine without a GPU. STANDIN_CUDA_FAULT names a function
 * that fails for want of memory. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100 };
enum { HOST_TO_DEVICE = 1, DEVICE_TO_HOST = 2 };
enum { MAJOR = 75, MINOR = 76, NAME_BYTES = 256, MOST = 4096 };

typedef struct Task {
  void (*function)(void *);
  void *argument;
  void *target;
  const void *source;
  size_t size;
  struct Task *next;
} Task;

typedef struct {
  Task *first, *last;
} Stream;

typedef struct {
  char *address;
  size_t size;
  int on_device;
} Allocation;

static Allocation allocations[MOST];
static int streams_held;

static int fault(const char *function) {
  const char *told = getenv("STANDIN_CUDA_FAULT");
  const char *gpu = getenv("STANDIN_GPU");
  if (gpu == NULL || *gpu == '\0') return NO_DEVICE;
  return told != NULL && strcmp(told, function) == 0 ? OUT_OF_MEMORY : SUCCESS;
}

static int is_on_device(const void *address, size_t size) {
  for (int i = 0; i < MOST; i++) {
    const Allocation *each = &allocations[i];
    const char *begin = address;
    if (each->address && begin >= each->address && begin + size <= each->address + each->size) return each->on_device;
  }
  return 0;
}

static int allocate(void **address, size_t size, int on_device) {
  for (int i = 0; i < MOST; i++) {
    if (allocations[i].address) continue;
    *address = malloc(size);
    memset(*address, 0xEE, size);
    allocations[i] = (Allocation){*address, size, on_device};
    return SUCCESS;
  }
  return OUT_OF_MEMORY;
}

static int release(void *address, int on_device) {
  for (int i = 0; i < MOST; i++) {
    if (allocations[i].address != address || allocations[i].on_device != on_device) continue;
    memset(address, 0xDD, allocations[i].size);
    free(address);
    allocations[i].address = NULL;
    return SUCCESS;
  }
  return INVALID_VALUE;
}

static void put(Stream *stream, Task task) {
  Task *kept = malloc(sizeof *kept);
  *kept = task;
  kept->next = NULL;
  if (stream->last) stream->last->next = kept;
  else stream->first = kept;
  stream->last = kept;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  int code = fault("cudaDeviceGetAttribute");
  int major, minor;
  if (code) return code;
  if (device != 0 || sscanf(strrchr(getenv("STANDIN_GPU"), ':') + 1, "%d.%d", &major, &minor) != 2) return INVALID_VALUE;
  if (attribute != MAJOR && attribute != MINOR) return INVALID_VALUE;
  *value = attribute == MAJOR ? major : minor;
  return SUCCESS;
}

int cudaGetDeviceProperties(char *properties, int device) {
  int code = fault("cudaGetDeviceProperties");
  if (code) return code;
  if (device != 0) return INVALID_VALUE;
  const char *gpu = getenv("STANDIN_GPU");
  memset(properties, 0, NAME_BYTES);
  memcpy(properties, gpu, (size_t)(strrchr(gpu, ':') - gpu));
  memset(properties + NAME_BYTES, 0xEE, 1024 - NAME_BYTES);
  return SUCCESS;
}

int cudaMalloc(void **address, size_t size) {
  int code = fault("cudaMalloc");
  return code ? code : allocate(address, size, 1);
}

int cudaFree(void *address) { return release(address, 1); }

int cudaHostAlloc(void **address, size_t size, unsigned flags) {
  int code = fault("cudaHostAlloc");
  if (flags) return INVALID_VALUE;
  return code ? code : allocate(address, size, 0);
}

int cudaFreeHost(void *address) { return release(address, 0); }

int cudaStreamCreate(Stream **stream) {
  int code = fault("cudaStreamCreate");
  if (code) return code;
  *stream = calloc(1, sizeof **stream);
  streams_held++;
  return SUCCESS;
}

int cudaStreamSynchronize(Stream *stream) {
  int code = fault("cudaStreamSynchronize");
  while (stream->first) {
    Task *task = stream->first;
    stream->first = task->next;
    if (!stream->first) stream->last = NULL;
    if (code == SUCCESS && task->function) task->function(task->argument);
    else if (code == SUCCESS) memcpy(task->target, task->source, task->size);
    free(task);
  }
  return code;
}

int cudaStreamDestroy(Stream *stream) {
  int code = cudaStreamSynchronize(stream);
  free(stream);
  streams_held--;
  return code;
}

int cudaMemcpyAsync(void *target, const void *source, size_t size, int kind, Stream *stream) {
  int code = fault("cudaMemcpyAsync");
  if (code) return code;
  if (kind != HOST_TO_DEVICE && kind != DEVICE_TO_HOST) return INVALID_VALUE;
  if (is_on_device(target, size) != (kind == HOST_TO_DEVICE)) return INVALID_VALUE;
  if (is_on_device(source, size) != (kind == DEVICE_TO_HOST)) return INVALID_VALUE;
  put(stream, (Task){.target = target, .source = source, .size = size});
  return SUCCESS;
}

int cudaLaunchHostFunc(Stream *stream, void (*function)(void *), void *argument) {
  put(stream, (Task){.function = function, .argument = argument});
  return SUCCESS;
}

const char *cudaGetErrorName(int code) {
  switch (code) {
    case INVALID_VALUE: return "cudaErrorInvalidValue";
    case OUT_OF_MEMORY: return "cudaErrorMemoryAllocation";
    case NO_DEVICE: return "cudaErrorNoDevice";
    default: return "cudaErrorUnknown";
  }
}

const char *cudaGetErrorString(int code) {
  switch (code) {
    case INVALID_VALUE: return "invalid argument";
    case OUT_OF_MEMORY: return "out of memory";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    default: return "unknown error";
  }
}

/* What CUDA does not have: allocations and streams that nobody gave back. */
int standinHeld(void) {
  int held = streams_held;
  for (int i = 0; i < MOST; i++) held += allocations[i].address != NULL;
  return held;
}
