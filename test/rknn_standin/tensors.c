/* Attributes and conversions of tensors. */
#include <math.h>
#include <string.h>

#include "standin.h"

uint32_t element_size(int type) {
  return type == FLOAT32 ? 4 : type == FLOAT16 || type == INT16 ? 2 : 1;
}

uint32_t n_elements(const struct tensor *tensor) {
  uint32_t n = 1;
  for (uint32_t i = 0; i < tensor->n_dims; i++) n *= tensor->dims[i];
  return n;
}

uint32_t n_bytes(const struct tensor *tensor) {
  return n_elements(tensor) * element_size(tensor->type);
}

void fill_attr(const struct tensor *tensor, uint32_t index, struct tensor_attr *attr) {
  memset(attr, 0, sizeof *attr);
  attr->index = index;
  attr->n_dims = tensor->n_dims;
  for (uint32_t i = 0; i < tensor->n_dims; i++)
    attr->dims[i] = tensor->dims[GENERATION == 1 ? tensor->n_dims - 1 - i : i];
  memcpy(attr->name, tensor->name, sizeof attr->name);
  attr->n_elems = tensor->claimed_elements ? tensor->claimed_elements : n_elements(tensor);
  attr->size = tensor->claimed_size ? tensor->claimed_size : n_bytes(tensor);
  attr->fmt = tensor->fmt;
  attr->type = tensor->type;
  attr->qnt_type = tensor->qnt_type;
  attr->fl = (int8_t)tensor->fl;
  attr->zp = tensor->zp;
  attr->scale = tensor->scale;
#if GENERATION == 2
  uint32_t width = tensor->fmt == NHWC ? tensor->dims[2] : tensor->dims[3];
  attr->pass_through = 1; /* so that the caller must reset it */
  attr->w_stride = tensor->w_stride;
  attr->size_with_stride = tensor->size_with_stride ? tensor->size_with_stride
                           : tensor->w_stride ? attr->size / width * tensor->w_stride
                                              : attr->size;
#endif
}

static uint16_t float_to_half(float value) { /* finite, no rounding of subnormals needed here */
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest < 0x38800000) return (uint16_t)sign;
  if (rest >= 0x47800000) return (uint16_t)(sign | 0x7c00);
  uint32_t half = (rest - 0x38000000) >> 13, lost = rest & 0x1fff;
  half += lost > 0x1000 || (lost == 0x1000 && (half & 1));
  return (uint16_t)(sign | half);
}

static float half_to_float(uint16_t half) {
  int exponent = half >> 10 & 31, fraction = half & 1023;
  float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                    : exponent == 0 ? ldexpf((float)fraction, -24)
                                    : ldexpf((float)(fraction + 1024), exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

/* The library's normalisation, which pass_through skips. */
void quantize_image(const struct tensor *tensor, const uint8_t *image, uint32_t stride, uint8_t *out) {
  uint32_t width = tensor->fmt == NHWC ? tensor->dims[2] : tensor->dims[3];
  int low = tensor->type == INT8 ? -128 : 0;
  for (uint32_t i = 0; i < n_elements(tensor); i++) {
    double real = (image[i / width * stride + i % width] - world.mean) / world.std;
    if (tensor->type == FLOAT16) {
      uint16_t half = float_to_half((float)real);
      memcpy(out + 2 * i, &half, 2);
      continue;
    }
    double q = rint(real / tensor->scale + tensor->zp);
    out[i] = (uint8_t)(int)(q < low ? low : q > low + 255 ? low + 255 : q);
  }
}

void to_float(const struct tensor *tensor, float *out) {
  for (uint32_t i = 0; i < n_elements(tensor); i++) {
    uint16_t half;
    switch (tensor->type) {
      case FLOAT32: memcpy(out + i, tensor->values + 4 * i, 4); break;
      case FLOAT16:
        memcpy(&half, tensor->values + 2 * i, 2);
        out[i] = half_to_float(half);
        break;
      default: {
        int q = tensor->type == INT8    ? (int8_t)tensor->values[i]
                : tensor->type == UINT8 ? tensor->values[i]
                                        : ((int16_t *)(void *)tensor->values)[i];
        out[i] = tensor->qnt_type == QNT_DFP ? ldexpf((float)q, -tensor->fl)
                                             : (float)(q - tensor->zp) * tensor->scale;
      }
    }
  }
}
