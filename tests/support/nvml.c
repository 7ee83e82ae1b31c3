/* A GPU driver's library for tests: it says what a file says, in the shapes of NVML's header.
   Lines of $NVML_SAYS, one a GPU:  <error> <total MiB> <free MiB> <pid:MiB,...>  */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7, MOST = 16 };

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct {
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
} process_t;
typedef struct { int error; unsigned long long total, free; char processes[400]; } card_t;

static card_t cards[MOST];

static unsigned int read_cards(void) {
  unsigned int count = 0;
  FILE *file = fopen(getenv("NVML_SAYS"), "r");
  while (file && count < MOST) {
    card_t *card = &cards[count];
    if (fscanf(file, "%d %llu %llu %399s", &card->error, &card->total, &card->free,
               card->processes) != 4) break;
    count++;
  }
  if (file) fclose(file);
  return count;
}

int nvmlInitWithFlags(unsigned int flags) { return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int error) { return error == 15 ? "GPU is lost" : "an error"; }

int nvmlDeviceGetCount_v2(unsigned int *count) { *count = read_cards(); return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned int size) {
  snprintf(text, size, "560.35.03");
  return OK;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12060; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  if (index >= read_cards()) return INVALID_ARGUMENT;
  *handle = &cards[index];
  return OK;
}
int nvmlDeviceGetName(void *handle, char *text, unsigned int size) {
  snprintf(text, size, "Tesla V100-SXM2-32GB");
  return OK;
}
int nvmlDeviceGetUUID(void *handle, char *text, unsigned int size) {
  snprintf(text, size, "GPU-%s-%ld", getenv("NVML_UUID"), (long)((card_t *)handle - cards));
  return OK;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
  card_t *card = handle;
  if (card->error) return card->error;
  memory->total = card->total << 20;
  memory->free = card->free << 20;
  memory->used = memory->total - memory->free;
  return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned int *count, process_t *found) {
  unsigned int room = *count, number = 0;
  char text[400];
  strcpy(text, ((card_t *)handle)->processes);
  for (char *each = strtok(text, ","); each && *each != '-'; each = strtok(NULL, ",")) {
    process_t one = {0, 0, ~0u, ~0u};
    if (sscanf(each, "%u:%llu", &one.pid, &one.used) != 2) continue;
    one.used <<= 20;
    if (number < room && found) found[number] = one;
    number++;
  }
  *count = number;
  return number > room ? INSUFFICIENT_SIZE : OK;
}
