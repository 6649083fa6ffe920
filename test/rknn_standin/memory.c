/* Shared memory and cores: functions of generation 2. */
#include <stdlib.h>
#include <string.h>

#include "standin.h"

int guards_intact(const struct mem *mem) {
  for (int i = 0; i < GUARD; i++)
    if (mem->block[i] != 0xa5 || mem->block[GUARD + mem->public.size + (uint32_t)i] != 0xa5)
      return 0;
  return 1;
}

#if GENERATION == 2
#ifndef WITHOUT_CORE_MASK
int rknn_set_core_mask(rknn_context handle, int mask) {
  struct context *context = enter(handle, "rknn_set_core_mask");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_set_core_mask");
  EXPECT((mask >= 0 && mask <= 4) || mask == 7 || mask == 0xffff, ERR_PARAM,
         "rknn_set_core_mask: %x", mask);
  return leave(context, code);
}
#endif

struct tensor_mem *rknn_create_mem(rknn_context handle, uint32_t size) {
  struct context *context = enter(handle, "rknn_create_mem");
  if (!context) return NULL;
  int code = injected_error("rknn_create_mem");
  leave(context, 0);
  if (code || world.n_mems == MAX_MEMS) return NULL;
  struct mem *mem = &world.mems[world.n_mems++];
  mem->live = 1;
  mem->owner = handle;
  mem->block = malloc(size + 2 * GUARD);
  memset(mem->block, 0xa5, size + 2 * GUARD);
  mem->public = (struct tensor_mem){.virt_addr = mem->block + GUARD, .fd = -1, .size = size};
  count("mems", 1);
  return &mem->public;
}

static struct mem *find_mem(rknn_context handle, const struct tensor_mem *public) {
  for (uint32_t i = 0; i < world.n_mems; i++)
    if (&world.mems[i].public == public && world.mems[i].live && world.mems[i].owner == handle)
      return &world.mems[i];
  return NULL;
}

int rknn_destroy_mem(rknn_context handle, struct tensor_mem *public) {
  struct context *context = enter(handle, "rknn_destroy_mem");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_destroy_mem");
  struct mem *mem = find_mem(handle, public);
  EXPECT(mem, ERR_PARAM, "rknn_destroy_mem: unknown memory");
  EXPECT(guards_intact(mem), ERR_FAIL, "rknn_destroy_mem: memory was overrun");
  mem->live = 0;
  count("mems", -1);
  return leave(context, code);
}

int rknn_set_io_mem(rknn_context handle, struct tensor_mem *public, struct tensor_attr *attr) {
  struct context *context = enter(handle, "rknn_set_io_mem");
  if (!context) return ERR_CTX;
  int code = injected_error("rknn_set_io_mem");
  if (code) return leave(context, code);
  struct mem *mem = find_mem(handle, public);
  EXPECT(mem, ERR_PARAM, "rknn_set_io_mem: unknown memory");
  EXPECT(attr, ERR_PARAM, "rknn_set_io_mem: no attributes");
  struct tensor_attr own;
  if (!strcmp(attr->name, world.inputs[0].name)) {
    fill_attr(&world.inputs[0], 0, &own);
    EXPECT(attr->type == UINT8 && attr->fmt == NHWC && attr->pass_through == 0, ERR_INPUT,
           "rknn_set_io_mem: input as type %d, fmt %d, pass_through %d", attr->type, attr->fmt,
           attr->pass_through);
    EXPECT(attr->w_stride == own.w_stride && attr->size_with_stride == own.size_with_stride,
           ERR_INPUT, "rknn_set_io_mem: w_stride %u, size_with_stride %u", attr->w_stride,
           attr->size_with_stride);
    uint32_t width = world.inputs[0].dims[own.fmt == NHWC ? 2 : 3];
    uint32_t size = n_elements(&world.inputs[0]) / width * (own.w_stride ? own.w_stride : width);
    EXPECT(mem->public.size >= size, ERR_INPUT, "rknn_set_io_mem: input in %u bytes, expected %u",
           mem->public.size, size);
    context->input_mem = mem;
    return leave(context, 0);
  }
  EXPECT(attr->index < world.n_output && !strcmp(attr->name, world.outputs[attr->index].name),
         ERR_OUTPUT, "rknn_set_io_mem: no tensor '%.255s' %u", attr->name, attr->index);
  struct tensor *tensor = &world.outputs[attr->index];
  EXPECT(attr->type == tensor->type || attr->type == FLOAT32, ERR_OUTPUT,
         "rknn_set_io_mem: output as type %d", attr->type);
  EXPECT(attr->pass_through == 0, ERR_OUTPUT, "rknn_set_io_mem: output with pass_through %d",
         attr->pass_through);
  EXPECT(attr->fmt == tensor->fmt, ERR_OUTPUT, "rknn_set_io_mem: output as fmt %d", attr->fmt);
  fill_attr(tensor, attr->index, &own);
  uint32_t size = n_elements(tensor) * element_size(attr->type);
  uint32_t least = size > own.size_with_stride ? size : own.size_with_stride;
  EXPECT(attr->size == size && mem->public.size >= least, ERR_OUTPUT,
         "rknn_set_io_mem: output size %u in %u bytes, expected %u in %u", attr->size,
         mem->public.size, size, least);
  context->output_mem[attr->index] = mem;
  context->output_float[attr->index] = attr->type == FLOAT32;
  return leave(context, 0);
}
#endif
