/* The library's functions, which check their arguments and the order of calls. */
#include <stdlib.h>
#include <string.h>

#include "standin.h"

int leave(struct context *context, int code) {
  if (context) __atomic_store_n(&context->inside, 0, __ATOMIC_SEQ_CST);
  return code;
}

/* Find a live context and enter it; NULL and a violation if that is not allowed. */
struct context *enter(rknn_context handle, const char *call) {
  for (uint32_t i = 0; i < world.n_contexts; i++) {
    struct context *context = &world.contexts[i];
    if (context->handle != handle) continue;
    if (!context->live) {
      violation(0, "%s: after rknn_destroy", call);
      return NULL;
    }
    if (__atomic_exchange_n(&context->inside, 1, __ATOMIC_SEQ_CST)) {
      violation(0, "%s: a second thread entered the context", call);
      return NULL;
    }
    return context;
  }
  violation(0, "%s: unknown context %llx", call, (unsigned long long)handle);
  return NULL;
}

#if GENERATION == 1
const char standin_version[] = "librknn_api version 1.7.5 (stand-in)";
int rknn_init(rknn_context *handle, void *model, uint32_t size, uint32_t flag) {
  int extend = 0;
#else
const char standin_version[] = "librknnrt version: 2.3.2 (stand-in)";
int rknn_init(rknn_context *handle, void *model, uint32_t size, uint32_t flag, void *extend) {
#endif
  struct context *context = NULL;
  int code = injected_error("rknn_init");
  if (code) return code;
  EXPECT(!extend, ERR_PARAM, "rknn_init: the fifth argument is not NULL");
  EXPECT(handle, ERR_PARAM, "rknn_init: the context pointer is NULL");
  EXPECT(model && size == world.model_size, ERR_MODEL, "rknn_init: size %u, expected %u", size,
         world.model_size);
  EXPECT(!memcmp(model, world.model, size), ERR_MODEL, "rknn_init: not the model's bytes");
  EXPECT(flag <= 2, ERR_PARAM, "rknn_init: flag %x", flag);
  EXPECT(world.n_contexts < MAX_CONTEXTS, ERR_FAIL, "rknn_init: too many contexts");
  context = &world.contexts[world.n_contexts++];
  *context = (struct context){.live = 1};
  /* Uses all bits, so that a truncated handle is detected. */
  context->handle = (rknn_context)0xa11ce5a500000000 | 0xc0de0000 | world.n_contexts;
  *handle = context->handle;
  count("contexts", 1);
  return 0;
}

int rknn_destroy(rknn_context handle) {
  struct context *context = enter(handle, "rknn_destroy");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_destroy");
  if (code) return leave(context, code);
  EXPECT(context->state != GOT, ERR_FAIL, "rknn_destroy: outputs are not released");
  for (uint32_t i = 0; i < world.n_mems; i++)
    EXPECT(!world.mems[i].live || world.mems[i].owner != handle, ERR_FAIL,
           "rknn_destroy: memory is not destroyed");
  context->live = 0;
  count("contexts", -1);
  return leave(context, 0);
}

int rknn_query(rknn_context handle, int command, void *info, uint32_t size) {
  struct context *context = enter(handle, "rknn_query");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_query");
  if (code) return leave(context, code);
  EXPECT(info, ERR_PARAM, "rknn_query: the info pointer is NULL");
  if (command == IN_OUT_NUM) {
    EXPECT(size == sizeof(struct in_out_num), ERR_PARAM, "rknn_query: IN_OUT_NUM size %u", size);
    *(struct in_out_num *)info = (struct in_out_num){world.n_input, world.n_output};
  } else if (command == INPUT_ATTR || command == OUTPUT_ATTR) {
    int is_output = command == OUTPUT_ATTR;
    struct tensor_attr *attr = info;
    EXPECT(size == sizeof *attr, ERR_PARAM, "rknn_query: tensor_attr size %u, expected %u", size,
           (uint32_t)sizeof *attr);
    EXPECT(attr->index < (is_output ? world.n_output : world.n_input), ERR_PARAM,
           "rknn_query: index %u", attr->index);
    fill_attr((is_output ? world.outputs : world.inputs) + attr->index, attr->index, attr);
  } else if (command == SDK_VERSION) {
    EXPECT(size == sizeof(struct sdk_version), ERR_PARAM, "rknn_query: SDK_VERSION size %u", size);
    struct sdk_version *version = info;
    strcpy(version->api, GENERATION == 1 ? "1.7.5 (stand-in)" : "2.3.2 (stand-in)");
    strcpy(version->drv, GENERATION == 1 ? "1.7.5" : "0.9.8");
  } else {
    return leave(context, violation(ERR_PARAM, "rknn_query: command %d", command));
  }
  return leave(context, 0);
}

int rknn_inputs_set(rknn_context handle, uint32_t n, struct input inputs[]) {
  struct context *context = enter(handle, "rknn_inputs_set");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_inputs_set");
  if (code) return leave(context, code);
  struct tensor *tensor = &world.inputs[0];
  EXPECT(!context->input_mem, ERR_FAIL, "rknn_inputs_set: after rknn_set_io_mem");
  EXPECT(context->state != GOT, ERR_FAIL, "rknn_inputs_set: outputs are not released");
  EXPECT(context->state != RAN, ERR_FAIL, "rknn_inputs_set: outputs of the last run not fetched");
  EXPECT(n == 1 && inputs, ERR_INPUT, "rknn_inputs_set: %u inputs", n);
  EXPECT(inputs->index == 0, ERR_INPUT, "rknn_inputs_set: index %u", inputs->index);
  EXPECT(inputs->buf, ERR_INPUT, "rknn_inputs_set: no buffer");
  EXPECT(inputs->pass_through <= 1, ERR_INPUT, "rknn_inputs_set: pass_through %d",
         inputs->pass_through);
  int type = inputs->pass_through ? tensor->type : UINT8;
  uint32_t size = n_elements(tensor) * element_size(type);
  EXPECT(inputs->size == size, ERR_INPUT, "rknn_inputs_set: size %u, expected %u", inputs->size,
         size);
  EXPECT(inputs->type == type, ERR_INPUT, "rknn_inputs_set: type %d, expected %d", inputs->type,
         type);
  EXPECT(inputs->fmt == (inputs->pass_through ? tensor->fmt : NHWC), ERR_INPUT,
         "rknn_inputs_set: fmt %d", inputs->fmt);
  if (inputs->pass_through)
    memcpy(tensor->values, inputs->buf, size);
  else
    quantize_image(tensor, inputs->buf, tensor->dims[tensor->fmt == NHWC ? 2 : 3], tensor->values);
  context->state = SET;
  context->thread = pthread_self();
  return leave(context, 0);
}

static void write_output(const struct tensor *tensor, int as_float, void *buf) {
  if (as_float)
    to_float(tensor, buf);
  else
    memcpy(buf, tensor->values, n_bytes(tensor));
}

int rknn_run(rknn_context handle, void *extend) {
  struct context *context = enter(handle, "rknn_run");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_run");
  if (code) return leave(context, code);
  struct tensor *input = &world.inputs[0];
  EXPECT(!extend, ERR_PARAM, "rknn_run: the second argument is not NULL");
  if (context->input_mem) {
    EXPECT(guards_intact(context->input_mem), ERR_FAIL, "rknn_run: input memory was overrun");
    uint32_t width = input->dims[input->fmt == NHWC ? 2 : 3];
    quantize_image(input, context->input_mem->public.virt_addr,
                   input->w_stride ? input->w_stride : width, input->values);
  } else {
    EXPECT(context->state == SET, ERR_FAIL, "rknn_run: no input is set");
    EXPECT(pthread_equal(context->thread, pthread_self()), ERR_FAIL, "rknn_run: another thread");
  }
  EXPECT(!world.expected_input || !memcmp(world.expected_input, input->values, n_bytes(input)),
         ERR_INPUT, "rknn_run: the input's bytes are not those expected");
  if (world.compute)
    world.compute(input->values, world.outputs[0].values, world.outputs[1].values);
  int shared = 0;
  for (uint32_t i = 0; i < world.n_output; i++)
    if (context->output_mem[i]) {
      write_output(&world.outputs[i], context->output_float[i],
                   context->output_mem[i]->public.virt_addr);
      shared++;
    }
  context->state = shared == (int)world.n_output ? IDLE : RAN;
  return leave(context, 0);
}

int rknn_outputs_get(rknn_context handle, uint32_t n, struct output outputs[], void *extend) {
  struct context *context = enter(handle, "rknn_outputs_get");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_outputs_get");
  EXPECT(!extend, ERR_PARAM, "rknn_outputs_get: the fourth argument is not NULL");
  EXPECT(context->state == RAN, ERR_FAIL, "rknn_outputs_get: nothing was run");
  EXPECT(pthread_equal(context->thread, pthread_self()), ERR_FAIL,
         "rknn_outputs_get: another thread");
  EXPECT(n >= 1 && n <= world.n_output && outputs, ERR_OUTPUT, "rknn_outputs_get: %u outputs", n);
  context->state = GOT;
  context->n_got = n;
  count("outputs", (int)n);
  if (n > 1) count("descriptor_maps", 1); /* output 1, fetched with output 0 */
  for (uint32_t i = 0; i < n; i++) {
    struct tensor *tensor = &world.outputs[i];
    struct output *output = &outputs[i];
    context->got[i] = output->buf;
    EXPECT(!context->output_mem[i], ERR_FAIL, "rknn_outputs_get: after rknn_set_io_mem");
    EXPECT(output->index == i, ERR_OUTPUT, "rknn_outputs_get: index %u in place %u",
           output->index, i);
    EXPECT(output->want_float <= 1, ERR_OUTPUT, "rknn_outputs_get: want_float %d",
           output->want_float);
    EXPECT(output->is_prealloc == 1, ERR_OUTPUT, "rknn_outputs_get: is_prealloc %d",
           output->is_prealloc);
    uint32_t size = output->want_float ? 4 * n_elements(tensor) : n_bytes(tensor);
    EXPECT(output->size == size, ERR_OUTPUT, "rknn_outputs_get: output %u: size %u, expected %u",
           i, output->size, size);
    EXPECT(output->buf, ERR_OUTPUT, "rknn_outputs_get: output %u has no buffer", i);
    if (output->want_float && world.reject_float) code = ERR_PARAM;
    if (code) continue;
    write_output(tensor, output->want_float || world.always_float, output->buf);
    if (tensor->written_size) output->size = tensor->written_size;
  }
  return leave(context, code);
}

int rknn_outputs_release(rknn_context handle, uint32_t n, struct output outputs[]) {
  struct context *context = enter(handle, "rknn_outputs_release");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_outputs_release");
  EXPECT(context->state == GOT, ERR_FAIL, "rknn_outputs_release: nothing to release");
  EXPECT(pthread_equal(context->thread, pthread_self()), ERR_FAIL,
         "rknn_outputs_release: another thread");
  EXPECT(n == context->n_got && outputs, ERR_OUTPUT, "rknn_outputs_release: %u outputs of %u", n,
         context->n_got);
  for (uint32_t i = 0; i < n; i++)
    EXPECT(outputs[i].buf == context->got[i], ERR_OUTPUT,
           "rknn_outputs_release: output %u is not the one fetched", i);
  context->state = IDLE;
  count("outputs", -(int)n);
  return leave(context, code);
}

#if GENERATION == 1
/* Exist only to be detected. */
int rknn_inputs_map(void) { return violation(ERR_FAIL, "rknn_inputs_map: not expected"); }
#else
int rknn_dup_context(void) { return violation(ERR_FAIL, "rknn_dup_context: not expected"); }
#endif
