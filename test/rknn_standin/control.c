/* Control of the stand-in by a test: tensors, faults, counters, violations. */
#define _POSIX_C_SOURCE 199309L /* nanosleep */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "standin.h"

struct world world = {.std = 1};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char violations[8192];
static struct { char name[32]; int code, times, block, delay_ms; } faults[16];
static struct { char name[32]; int value; } counters[16];

int violation(int code, const char *format, ...) {
  pthread_mutex_lock(&mutex);
  size_t used = strlen(violations);
  if (used < sizeof violations - 512) {
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)vsnprintf(violations + used, 500, format, arguments);
    va_end(arguments);
    strcpy(violations + used, "\n");
  }
  pthread_mutex_unlock(&mutex);
  return code;
}

void count(const char *what, int by) {
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 16; i++)
    if (!counters[i].name[0] || !strcmp(counters[i].name, what)) {
      snprintf(counters[i].name, sizeof counters[i].name, "%s", what);
      counters[i].value += by;
      break;
    }
  pthread_mutex_unlock(&mutex);
}

/* Counts the call, blocks or waits if requested, returns an injected error code, else 0. */
int injected_error(const char *function) {
  int code = 0;
  struct timespec delay = {0, 0};
  count(function, 1);
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 16; i++)
    if (!strcmp(faults[i].name, function)) {
      while (faults[i].block) pthread_cond_wait(&changed, &mutex);
      delay.tv_nsec = faults[i].delay_ms * 1000000L;
      if (faults[i].times > 0) {
        faults[i].times--;
        code = faults[i].code;
      }
    }
  pthread_mutex_unlock(&mutex);
  if (delay.tv_nsec) nanosleep(&delay, NULL);
  return code;
}

static int fault_of(const char *function) {
  for (int i = 0; i < 16; i++)
    if (!faults[i].name[0] || !strcmp(faults[i].name, function)) {
      snprintf(faults[i].name, sizeof faults[i].name, "%s", function);
      return i;
    }
  abort();
}

/* The next `times` calls of `function` return `code`. */
void standin_fail(const char *function, int code, int times) {
  pthread_mutex_lock(&mutex);
  int i = fault_of(function);
  faults[i].code = code;
  faults[i].times = times;
  pthread_mutex_unlock(&mutex);
}

/* Calls of `function` block until this is switched off. */
void standin_block(const char *function, int on) {
  pthread_mutex_lock(&mutex);
  faults[fault_of(function)].block = on;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

/* Calls of `function` take at least this long, below a second. */
void standin_delay(const char *function, int milliseconds) {
  pthread_mutex_lock(&mutex);
  faults[fault_of(function)].delay_ms = milliseconds;
  pthread_mutex_unlock(&mutex);
}

/* Text of all violations since the last call, a line each; returns its length. */
int standin_violations(char *text, int size) {
  pthread_mutex_lock(&mutex);
  int length = snprintf(text, (size_t)size, "%s", violations);
  violations[0] = 0;
  pthread_mutex_unlock(&mutex);
  return length;
}

/* Calls of a function so far, or live 'contexts', 'outputs' and 'mems'. */
int standin_count(const char *what) {
  int value = 0;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 16; i++)
    if (!strcmp(counters[i].name, what)) value = counters[i].value;
  pthread_mutex_unlock(&mutex);
  return value;
}

static struct tensor *tensor_of(int is_output, uint32_t index) {
  return (is_output ? world.outputs : world.inputs) + index;
}

static void copy_bytes(uint8_t **to, const void *bytes, uint32_t size) {
  free(*to);
  *to = NULL;
  if (bytes) memcpy(*to = malloc(size), bytes, size);
}

void standin_tensor(int is_output, uint32_t index, const char *name, uint32_t n_dims,
                    const uint32_t *dims, int fmt, int type, int qnt_type, int fl, int zp,
                    float scale, uint32_t w_stride, uint32_t size_with_stride) {
  struct tensor *tensor = tensor_of(is_output, index);
  uint32_t *n = is_output ? &world.n_output : &world.n_input;
  free(tensor->values);
  *tensor = (struct tensor){.n_dims = n_dims, .fmt = fmt, .type = type, .qnt_type = qnt_type,
                            .fl = fl, .zp = zp, .scale = scale, .w_stride = w_stride,
                            .size_with_stride = size_with_stride};
  snprintf(tensor->name, sizeof tensor->name, "%s", name);
  memcpy(tensor->dims, dims, n_dims * sizeof *dims);
  tensor->values = calloc(1, n_bytes(tensor));
  *n = index + 1; /* tensors are set in order */
}

void standin_set_output(uint32_t index, const void *bytes) {
  memcpy(world.outputs[index].values, bytes, n_bytes(&world.outputs[index]));
}

/* The model: computes the outputs from the input, in the native types. */
void standin_compute(network compute) { world.compute = compute; }

void standin_model(const uint8_t *bytes, uint32_t size) {
  static uint8_t *copy;
  copy_bytes(&copy, bytes, size);
  world.model = copy;
  world.model_size = size;
}

void standin_normalisation(double mean, double std) {
  world.mean = mean;
  world.std = std;
}

/* The bytes expected as model input; NULL: any. */
void standin_expect_input(const void *bytes) {
  copy_bytes(&world.expected_input, bytes, n_bytes(&world.inputs[0]));
}

void standin_last_input(void *bytes) {
  memcpy(bytes, world.inputs[0].values, n_bytes(&world.inputs[0]));
}

/* Override the size in a tensor's attributes, and the one that rknn_outputs_get reports. */
void standin_sizes(int is_output, uint32_t index, uint32_t claimed, uint32_t elements,
                   uint32_t written) {
  tensor_of(is_output, index)->claimed_size = claimed;
  tensor_of(is_output, index)->claimed_elements = elements;
  tensor_of(is_output, index)->written_size = written;
}

void standin_reject_float(int on) { world.reject_float = on; }

/* Write float also where raw elements are requested, without saying so. */
void standin_always_float(int on) { world.always_float = on; }

/* Reset everything; no call may be running. */
void standin_reset(void) {
  for (uint32_t i = 0; i < MAX_TENSORS; i++) {
    free(world.inputs[i].values);
    free(world.outputs[i].values);
  }
  for (uint32_t i = 0; i < world.n_mems; i++) free(world.mems[i].block);
  free(world.expected_input);
  world = (struct world){.std = 1};
  violations[0] = 0;
  memset(faults, 0, sizeof faults);
  memset(counters, 0, sizeof counters);
}
