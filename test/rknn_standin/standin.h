/* A stand-in for Rockchip's NPU library, for tests: it computes nothing, returns outputs that the
 * test sets, and checks every argument. GENERATION is 1 or 2.
 * Layouts as in docs/rknn_abi.md, repeated here on purpose: an independent second source. */
#ifndef STANDIN_H
#define STANDIN_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __arm__
typedef uint32_t rknn_context;
#else
typedef uint64_t rknn_context;
#endif

enum { ERR_FAIL = -1, ERR_PARAM = -5, ERR_MODEL = -6, ERR_CTX = -7, ERR_INPUT = -8, ERR_OUTPUT = -9 };
enum { IN_OUT_NUM = 0, INPUT_ATTR = 1, OUTPUT_ATTR = 2, SDK_VERSION = 5 };
enum { FLOAT32 = 0, FLOAT16 = 1, INT8 = 2, UINT8 = 3, INT16 = 4 };
enum { QNT_NONE = 0, QNT_DFP = 1, QNT_AFFINE = 2 };
enum { NCHW = 0, NHWC = 1 };

struct in_out_num { uint32_t n_input, n_output; };
struct sdk_version { char api[256], drv[256]; };

struct tensor_attr {
  uint32_t index, n_dims, dims[16];
  char name[256];
  uint32_t n_elems, size;
  int32_t fmt, type, qnt_type;
  int8_t fl;
#if GENERATION == 1
  uint32_t zp;
  float scale;
#else
  int32_t zp;
  float scale;
  uint32_t w_stride, size_with_stride;
  uint8_t pass_through;
  uint32_t h_stride;
#endif
};

struct input {
  uint32_t index;
  void *buf;
  uint32_t size;
  uint8_t pass_through;
  int32_t type, fmt;
};

struct output {
  uint8_t want_float, is_prealloc;
  uint32_t index;
  void *buf;
  uint32_t size;
};

struct tensor_mem {
  void *virt_addr;
  uint64_t phys_addr;
  int32_t fd, offset;
  uint32_t size, flags;
  void *priv_data;
};

/* A tensor as set by the test. */
struct tensor {
  char name[256];
  uint32_t n_dims, dims[16]; /* in the order of fmt */
  int fmt, type, qnt_type, fl, zp;
  float scale;
  uint32_t w_stride;
  uint32_t size_with_stride; /* 0: computed from w_stride */
  uint32_t claimed_size, claimed_elements; /* 0: the true values */
  uint32_t written_size; /* reported by rknn_outputs_get; 0: the true size */
  uint8_t *values;       /* input: what the model received; output: what it returns */
};

enum { MAX_TENSORS = 4, MAX_CONTEXTS = 64, MAX_MEMS = 64, GUARD = 64 };
enum state { IDLE, SET, RAN, GOT };

struct mem {
  struct tensor_mem public;
  rknn_context owner;
  uint8_t *block; /* with guard bytes on both sides */
  int live;
};

struct context {
  rknn_context handle;
  int live, inside;
  enum state state;
  pthread_t thread; /* of the running inference */
  struct mem *input_mem, *output_mem[MAX_TENSORS];
  int output_float[MAX_TENSORS]; /* whether output_mem takes float32 */
  uint32_t n_got;
  void *got[MAX_TENSORS];
};

typedef void (*network)(const uint8_t *input, uint8_t *output0, uint8_t *output1);

extern struct world {
  struct tensor inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  uint32_t n_input, n_output;
  const uint8_t *model;
  uint32_t model_size;
  double mean, std; /* normalisation of the model */
  network compute;  /* NULL: return the outputs that are set */
  uint8_t *expected_input;
  int reject_float, always_float;
  struct context contexts[MAX_CONTEXTS];
  uint32_t n_contexts;
  struct mem mems[MAX_MEMS];
  uint32_t n_mems;
} world;

/* control.c */
int violation(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int injected_error(const char *function);
void count(const char *what, int by);

/* calls.c */
struct context *enter(rknn_context handle, const char *call);
int leave(struct context *context, int code);
#define EXPECT(condition, code, ...) \
  if (!(condition)) return leave(context, violation(code, __VA_ARGS__))

/* memory.c */
int guards_intact(const struct mem *mem);

/* tensors.c */
uint32_t element_size(int type);
uint32_t n_elements(const struct tensor *tensor);
uint32_t n_bytes(const struct tensor *tensor);
void fill_attr(const struct tensor *tensor, uint32_t index, struct tensor_attr *attr);
void quantize_image(const struct tensor *tensor, const uint8_t *image, uint32_t stride, uint8_t *out);
void to_float(const struct tensor *tensor, float *out);

#endif
