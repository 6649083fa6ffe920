/*
 * Decode of the detector's logits to keypoints, and sampling of descriptors at keypoints.
 *
 * The same results as features/keypoints.py and features/descriptors.py, which define them; scores
 * and descriptors differ by rounding only (less than 1e-6). GNU C11 with vector extensions.
 *
 * A handle owns all buffers: nothing is allocated per image. A handle serves one thread at a time.
 * The caller checks sizes: every array is C-contiguous and aligned to its element.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

/* To be raised with every change of a function's arguments or meaning; see library.py. */
enum { INTERFACE_VERSION = 3 };

enum {
  CELL = 8,                    /* [px] side of a cell of the outputs */
  PIXELS = CELL * CELL,        /* channels of the logits that stand for pixels */
  CHANNELS = PIXELS + 1,       /* the last one stands for "no point" */
  BLOCK = 32,                  /* cells whose strongest logit is searched together */
  LANES = 4,                   /* of the vectors below */
  MAX_RADIUS = 32,             /* of the NMS [px] */
  MAX_CELLS = 1024,            /* along each axis: 8192 pixels */
  MAX_DESCRIPTOR_SIZE = 4096,  /* channels of a descriptor map */
  MAX_PARTS = 64               /* of the grid, along each axis */
};

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* On x86-64 the exported functions exist for AVX2, too; the dynamic linker picks. Sanitisers start
 * after the dynamic linker, which could not call an instrumented function to pick. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__AVX2__) && !defined(__SANITIZE_ADDRESS__)
#define DISPATCHED __attribute__((target_clones("avx2", "default")))
#else
#define DISPATCHED
#endif

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef uint8_t b16 __attribute__((vector_size(16)));

/* Loads and stores of unaligned vectors, and a load of four numbers `step` apart. For 32-bit ARM,
 * GCC compiles the plain ones to four loads of general registers each. */
#if defined(__ARM_NEON)
INLINE f4 load(const float *p) { return (f4)vld1q_f32(p); }
INLINE i4 load_int(const int32_t *p) { return (i4)vld1q_s32(p); }
INLINE b16 load_bytes(const uint8_t *p) { return (b16)vld1q_u8(p); }
INLINE void store(float *p, f4 v) { vst1q_f32(p, (float32x4_t)v); }
INLINE f4 gather(const float *p, size_t step) {
  float32x4_t v = vld1q_dup_f32(p);
  v = vld1q_lane_f32(p + step, v, 1);
  v = vld1q_lane_f32(p + 2 * step, v, 2);
  return (f4)vld1q_lane_f32(p + 3 * step, v, 3);
}
#else
typedef f4 unaligned_f4 __attribute__((aligned(4), may_alias));
typedef i4 unaligned_i4 __attribute__((aligned(4), may_alias));
typedef b16 unaligned_b16 __attribute__((aligned(1), may_alias));
INLINE f4 load(const float *p) { return *(const unaligned_f4 *)p; }
INLINE i4 load_int(const int32_t *p) { return *(const unaligned_i4 *)p; }
INLINE b16 load_bytes(const uint8_t *p) { return *(const unaligned_b16 *)p; }
INLINE void store(float *p, f4 v) { *(unaligned_f4 *)p = v; }
INLINE f4 gather(const float *p, size_t step) {
  return (f4){p[0], p[step], p[2 * step], p[3 * step]};
}
#endif

INLINE int any(i4 mask) {
#if defined(__ARM_NEON)
  const int32x2_t half = vorr_s32(vget_low_s32((int32x4_t)mask), vget_high_s32((int32x4_t)mask));
  return vget_lane_u64(vreinterpret_u64_s32(half), 0) != 0;
#else
  uint64_t half[2];
  memcpy(half, &mask, sizeof half);
  return (half[0] | half[1]) != 0;
#endif
}

/* Maximum; where a number is NaN, `b` or NaN. */
INLINE f4 larger(f4 a, f4 b) {
#if defined(__ARM_NEON)
  return (f4)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#elif defined(__SSE2__)
  return (f4)_mm_max_ps((__m128)a, (__m128)b);
#else
  const i4 mask = a > b;
  return (f4)(((i4)a & mask) | ((i4)b & ~mask));
#endif
}

/* ---------------------------------------------------------------------------------- decode */

typedef struct {
  int rows, cols, height, width; /* of the logits, and of the model input [px] */
  ptrdiff_t stride;              /* of `probabilities` */
  int32_t *probabilities;        /* of candidates, as bits, in a map; 0 elsewhere and around it */
  uint32_t *candidates;          /* pixels above the threshold: indices into `probabilities` */
  uint32_t *position;            /* of pixels that NMS, border and mask leave: y << 16 | x */
  float *score;                  /* of these pixels: see sum_3x3 */
  uint32_t *kept, *scratch;      /* indices into `position` and `score` */
  uint32_t image;                /* number of the image */
  uint32_t *summed;              /* by cell: number of the image whose sum is known */
  float *sum, *highest;          /* by cell: see cell_exponentials */
  uint32_t part_count[MAX_PARTS * MAX_PARTS], part_seen[MAX_PARTS * MAX_PARTS];
} Decoder;

typedef struct {
  float threshold;   /* 0..1; the pixel of a keypoint has a probability above it */
  int32_t radius;    /* of the NMS [px], 0..MAX_RADIUS */
  int32_t most;      /* highest number of keypoints, at least 1 */
  int32_t border;    /* [px] without keypoints, at least 0 */
  int32_t grid_rows; /* parts over which keypoints are spread evenly, 1..MAX_PARTS */
  int32_t grid_cols;
  int32_t subpixel;
} Settings;

static int row_of(uint32_t position) { return (int)(position >> 16); }

static int col_of(uint32_t position) { return (int)(position & 0xffff); }

/*
 * exp(x - highest), for no x above `highest`.
 *
 * Below exp(-88) the result is 0; NaN stays NaN.
 */
INLINE f4 exponentials(f4 x, f4 highest) {
  const f4 lowest = {-88.0f, -88.0f, -88.0f, -88.0f};
  const f4 v = x - highest;
  /* exp(v) = 2^n * exp(r), |r| <= log(2) / 2. `biased` is n + 127, the exponent's bits. */
  const i4 biased = __builtin_convertvector(larger(v, lowest) * 1.44269504f + 127.5f, i4);
  const f4 r = larger(lowest, v) - __builtin_convertvector(biased - 127, f4) * 0.693147181f;
  /* minimax polynomial, relative error 8e-8 */
  f4 p = r * 0.008297655f + 0.041915383f;
  p = p * r + 0.16667575f;
  p = p * r + 0.49998894f;
  p = p * r + 0.9999997f;
  p = p * r + 1.0000001f;
  return p * (f4)(biased << 23);
}

/*
 * exp(logit - highest) of a cell's pixels; returns the sum with that of "no point".
 *
 * at: the cell's first logit. highest: of its logits. A NaN or infinite logit, but for -infinity,
 * makes the sum NaN.
 */
INLINE float cell_exponentials(const float *at, size_t cells, float highest,
                               float *restrict powers) {
  const f4 top = {highest, highest, highest, highest};
  const f4 no_point = {at[PIXELS * cells], -INFINITY, -INFINITY, -INFINITY};
  f4 total = exponentials(no_point, top);
  for (int k = 0; k < PIXELS; k += LANES, at += LANES * cells) {
    const f4 p = exponentials(gather(at, cells), top);
    store(powers + k, p);
    total += p;
  }
  return (total[0] + total[1]) + (total[2] + total[3]);
}

/* The strongest pixel's logit of each of `count` cells; see `larger` for NaN. */
INLINE void strongest(const float *first, size_t cells, int count, float *restrict peak) {
  if (count == BLOCK) {
    f4 m[BLOCK / LANES];
    for (int i = 0; i < BLOCK / LANES; i++) m[i] = load(first + i * LANES);
    for (int k = 1; k < PIXELS; k++) {
      const float *plane = first + k * cells;
#pragma GCC unroll 8
      for (int i = 0; i < BLOCK / LANES; i++) m[i] = larger(load(plane + i * LANES), m[i]);
    }
    for (int i = 0; i < BLOCK / LANES; i++) store(peak + i * LANES, m[i]);
    return;
  }
  for (int i = 0; i < count; i++) peak[i] = first[i];
  for (int k = 1; k < PIXELS; k++) {
    for (int i = 0; i < count; i++) {
      const float v = first[k * cells + i];
      peak[i] = v > peak[i] ? v : peak[i];
    }
  }
}

/*
 * Softmax and threshold: fill `candidates` and `probabilities` with the pixels above the threshold;
 * returns their number.
 *
 * A cell with a NaN or an infinity above all numbers has no such pixel: its sum is NaN.
 */
INLINE int find_candidates(Decoder *d, const float *restrict logits, float threshold) {
  const size_t cells = (size_t)d->rows * d->cols;
  /* A pixel's probability is at most sigmoid(contrast), contrast = logit - logit of "no point".
   * The margin is far wider than the rounding errors. */
  const float lowest = threshold * (1 - 1e-4f);
  const float min_contrast = threshold > 0 ? logf(lowest / (1 - lowest)) - 1e-4f : -INFINITY;
  int count = 0;
  for (size_t first = 0; first < cells; first += BLOCK) {
    const int in_block = cells - first < BLOCK ? (int)(cells - first) : BLOCK;
    const int first_row = (int)first / d->cols, first_col = (int)first - first_row * d->cols;
    const float *at = logits + first, *no_point = at + PIXELS * cells;
    float peak[BLOCK];
    strongest(at, cells, in_block, peak);
    for (int i = 0; i < in_block; i++) {
      if (!(peak[i] - no_point[i] > min_contrast)) continue;
      float powers[PIXELS];
      const float highest = peak[i] > no_point[i] ? peak[i] : no_point[i];
      const float total = cell_exponentials(at + i, cells, highest, powers);
      d->summed[first + i] = d->image;
      d->sum[first + i] = total;
      d->highest[first + i] = highest;
      const float limit = threshold * total * (1 - 1e-6f);
      int row = first_row, col = first_col + i;
      for (; col >= d->cols; col -= d->cols) row++;
      ptrdiff_t place = (MAX_RADIUS + row * CELL) * d->stride + MAX_RADIUS + col * CELL;
      for (int k = 0; k < PIXELS; k += CELL, place += d->stride) { /* a row of pixels */
        if (!any((load(powers + k) > limit) | (load(powers + k + LANES) > limit))) continue;
        for (int j = 0; j < CELL; j++) {
          if (!(powers[k + j] > limit)) continue;
          const float probability = powers[k + j] / total;
          if (!(probability > threshold)) continue;
          d->candidates[count++] = (uint32_t)(place + j);
          memcpy(d->probabilities + place + j, &probability, sizeof probability);
        }
      }
    }
  }
  return count;
}

/* True if a pixel of the window around `at` has a larger probability than the pixel itself. */
INLINE int is_exceeded(const int32_t *at, int radius, ptrdiff_t stride) {
  const int32_t own = *at; /* positive floats order as their bits do */
  if ((at[1] > own) | (at[-1] > own) | (at[stride] > own) | (at[-stride] > own)) return 1;
  if (radius == 1) {
    return (at[1 + stride] > own) | (at[1 - stride] > own) | (at[-1 + stride] > own) |
           (at[-1 - stride] > own);
  }
  const int last = 2 * radius + 1 - LANES; /* the last vector of a row overlaps that before it */
  const int32_t *row = at - radius - radius * stride;
  i4 more = {0};
  for (int y = -radius; y <= radius; y++, row += stride) {
    for (int i = 0; i < last; i += LANES) more |= load_int(row + i) > own;
    more |= load_int(row + last) > own;
    if (radius > 8 && any(more)) return 1;
  }
  return any(more);
}

/* Score of a keypoint: sum of the 3x3 probabilities around `at`. */
INLINE float sum_3x3(const int32_t *at, ptrdiff_t stride) {
  float total = 0;
  for (int y = -1; y <= 1; y++) {
    float row[3];
    memcpy(row, at + y * stride - 1, sizeof row);
    total += row[0] + row[1] + row[2];
  }
  return total;
}

/*
 * NMS, border and mask: fill `position`, `score` and `kept` with the remaining pixels; returns
 * their number.
 *
 * Suppressed, masked and border pixels suppress, too; equal ones in reach of each other both stay.
 */
INLINE int suppress(Decoder *d, int count, const Settings *s, const uint8_t *allowed) {
  const ptrdiff_t stride = d->stride;
  const int bottom = d->height - s->border, right = d->width - s->border;
  int kept = 0;
  for (int i = 0; i < count; i++) {
    const int32_t *at = d->probabilities + d->candidates[i];
    if (s->radius && is_exceeded(at, s->radius, stride)) continue;
    const int row = (int)(d->candidates[i] / (uint32_t)stride), y = row - MAX_RADIUS;
    const int x = (int)(d->candidates[i] - (uint32_t)row * (uint32_t)stride) - MAX_RADIUS;
    if (y < s->border || y >= bottom || x < s->border || x >= right) continue;
    if (allowed && !allowed[(size_t)y * d->width + x]) continue;
    d->position[kept] = (uint32_t)y << 16 | (uint32_t)x;
    d->score[kept] = sum_3x3(at, stride);
    d->kept[kept] = (uint32_t)kept;
    kept++;
  }
  for (int i = 0; i < count; i++) d->probabilities[d->candidates[i]] = 0;
  return kept;
}

typedef uint32_t __attribute__((may_alias)) Bits; /* of any number */

/* Stable radix sort of `count` indices by ascending keys[index] ^ flip. */
static void radix_sort(const Bits *keys, uint32_t flip, uint32_t *indices, uint32_t *scratch,
                       int count) {
  uint32_t *from = indices, *to = scratch;
  for (int shift = 0; shift < 32; shift += 8) {
    uint32_t start[256] = {0};
    for (int i = 0; i < count; i++) start[(keys[from[i]] ^ flip) >> shift & 255]++;
    if (start[(keys[from[0]] ^ flip) >> shift & 255] == (uint32_t)count) continue;
    uint32_t sum = 0;
    for (int v = 0; v < 256; v++) {
      const uint32_t c = start[v];
      start[v] = sum;
      sum += c;
    }
    for (int i = 0; i < count; i++) to[start[(keys[from[i]] ^ flip) >> shift & 255]++] = from[i];
    uint32_t *const swapped = from;
    from = to;
    to = swapped;
  }
  if (from != indices) memcpy(indices, from, (size_t)count * sizeof *indices);
}

/* Sort `kept` by score, descending; ties in row-major order. */
static void sort_by_score(Decoder *d, int count) {
  if (count < 2) return;
  const Bits *bits = (const Bits *)d->score;
  radix_sort(bits, UINT32_MAX, d->kept, d->scratch, count);
  for (int first = 0, end; first < count; first = end) {
    end = first + 1;
    while (end < count && bits[d->kept[end]] == bits[d->kept[first]]) end++;
    if (end - first > 16) {
      radix_sort(d->position, 0, d->kept + first, d->scratch, end - first);
      continue;
    }
    for (int i = first + 1; i < end; i++) { /* insertion sort */
      const uint32_t index = d->kept[i], position = d->position[index];
      int j = i;
      for (; j > first && d->position[d->kept[j - 1]] > position; j--) d->kept[j] = d->kept[j - 1];
      d->kept[j] = index;
    }
  }
}

static int part_of(const Decoder *d, const Settings *s, uint32_t index) {
  const uint32_t p = d->position[index];
  return row_of(p) * s->grid_rows / d->height * s->grid_cols +
         col_of(p) * s->grid_cols / d->width;
}

/*
 * Select `most` of the sorted `kept`, spread evenly over the parts of the grid; keeps their order.
 *
 * Candidates are ordered by their rank within their part, equal ranks by score.
 */
static void spread_over_grid(Decoder *d, const Settings *s, int count) {
  const int parts = s->grid_rows * s->grid_cols;
  memset(d->part_count, 0, (size_t)parts * sizeof *d->part_count);
  memset(d->part_seen, 0, (size_t)parts * sizeof *d->part_seen);
  for (int i = 0; i < count; i++) d->part_count[part_of(d, s, d->kept[i])]++;
  /* the highest rank below which all are selected, and how many have lower ranks */
  uint32_t rank = 0, lower = 0;
  for (uint32_t step = 1u << 26; step; step >>= 1) {
    uint32_t below = 0;
    for (int i = 0; i < parts; i++) {
      below += d->part_count[i] < rank + step ? d->part_count[i] : rank + step;
    }
    if (below <= (uint32_t)s->most) {
      rank += step;
      lower = below;
    }
  }
  uint32_t of_rank = (uint32_t)s->most - lower; /* places for those of this rank */
  int selected = 0;
  for (int i = 0; i < count; i++) {
    const uint32_t own = d->part_seen[part_of(d, s, d->kept[i])]++;
    if (own > rank || (own == rank && !of_rank)) continue;
    of_rank -= own == rank;
    d->kept[selected++] = d->kept[i];
  }
}

/* Log-sum-exp of the logits of a cell; NaN if it has none. */
static float log_sum(Decoder *d, const float *logits, size_t cell) {
  const size_t cells = (size_t)d->rows * d->cols;
  if (d->summed[cell] != d->image) {
    const float *at = logits + cell;
    float powers[PIXELS], highest = -INFINITY;
    for (int k = 0; k < CHANNELS; k++) {
      highest = at[k * cells] > highest ? at[k * cells] : highest;
    }
    d->summed[cell] = d->image;
    d->sum[cell] = cell_exponentials(at, cells, highest, powers);
    d->highest[cell] = highest;
  }
  return logf(d->sum[cell]) + d->highest[cell];
}

static float clip(float v, float limit) { return v < -limit ? -limit : v > limit ? limit : v; }

/*
 * Shift a keypoint to the peak of the quadratic through its 3x3 log probabilities, by at most half
 * a pixel; see features/subpixel.py. It stays where there is no peak, and at the image's edge.
 */
static void shift_to_peak(Decoder *d, const float *logits, int row, int col, float *x, float *y) {
  if (row < 1 || col < 1 || row >= d->height - 1 || col >= d->width - 1) return;
  const size_t cells = (size_t)d->rows * d->cols;
  float patch[3][3], sums[2][2];
  /* One log-sum-exp for each cell that the 3x3 pixels touch; within one cell it changes nothing. */
  const int top = (row - 1) / CELL, left = (col - 1) / CELL;
  const int bottom = (row + 1) / CELL, right = (col + 1) / CELL;
  sums[0][0] = 0;
  for (int r = top; r <= bottom && (top < bottom || left < right); r++) {
    for (int c = left; c <= right; c++) {
      sums[r - top][c - left] = log_sum(d, logits, (size_t)r * d->cols + c);
    }
  }
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) {
      const int py = row + i - 1, px = col + j - 1, r = py / CELL, c = px / CELL;
      const size_t channel = (size_t)(py % CELL * CELL + px % CELL);
      patch[i][j] =
          logits[channel * cells + (size_t)r * d->cols + c] - sums[r - top][c - left];
    }
  }
  float column[3], line[3]; /* sums */
  for (int i = 0; i < 3; i++) {
    column[i] = patch[0][i] + patch[1][i] + patch[2][i];
    line[i] = patch[i][0] + patch[i][1] + patch[i][2];
  }
  const float b = (column[2] - column[0]) / 6, c = (line[2] - line[0]) / 6;
  const float xx = (column[0] + column[2] - 2 * column[1]) / 3;
  const float yy = (line[0] + line[2] - 2 * line[1]) / 3;
  const float xy = (patch[0][0] + patch[2][2] - patch[0][2] - patch[2][0]) / 4;
  const float determinant = xx * yy - xy * xy;
  if (!(determinant > 1e-9f && determinant < INFINITY && xx < 0)) return;
  *x += clip((xy * c - yy * b) / determinant, 0.5f);
  *y += clip((xy * b - xx * c) / determinant, 0.5f);
}

EXPORT int superpoint_interface_version(void) { return INTERFACE_VERSION; }

EXPORT void superpoint_decoder_destroy(Decoder *d) {
  if (!d) return;
  free(d->probabilities);
  free(d->candidates);
  free(d->position);
  free(d->score);
  free(d->kept);
  free(d->scratch);
  free(d->summed);
  free(d->sum);
  free(d->highest);
  free(d);
}

/* Decoder for logits of rows x cols cells, each 1..MAX_CELLS; NULL without the memory. */
EXPORT Decoder *superpoint_decoder_create(int rows, int cols) {
  if (rows < 1 || cols < 1 || rows > MAX_CELLS || cols > MAX_CELLS) return NULL;
  Decoder *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->rows = rows;
  d->cols = cols;
  d->height = rows * CELL;
  d->width = cols * CELL;
  d->stride = d->width + 2 * MAX_RADIUS + LANES;
  const size_t pixels = (size_t)d->height * d->width; /* at most 2^26 */
  d->probabilities = calloc((size_t)d->stride * (d->height + 2 * MAX_RADIUS + 1), sizeof(int32_t));
  d->candidates = malloc(pixels * sizeof *d->candidates);
  d->position = malloc(pixels * sizeof *d->position);
  d->score = malloc(pixels * sizeof *d->score);
  d->kept = malloc(pixels * sizeof *d->kept);
  d->scratch = malloc(pixels * sizeof *d->scratch);
  const size_t cells = (size_t)rows * cols;
  d->summed = calloc(cells, sizeof *d->summed);
  d->sum = malloc(cells * sizeof *d->sum);
  d->highest = malloc(cells * sizeof *d->highest);
  if (d->probabilities && d->candidates && d->position && d->score && d->kept && d->scratch &&
      d->summed && d->sum && d->highest) {
    return d;
  }
  superpoint_decoder_destroy(d);
  return NULL;
}

/*
 * Decode the logits of one image.
 *
 * logits: (CHANNELS, rows, cols). allowed: (height, width), no keypoints where it is 0; NULL allows
 * all. points: (3, min(most, height * width)), receives x, y [px] and scores, highest first, ties
 * in row-major order, those above 1 as 1; each row starts min(most, height * width) numbers after
 * the one before.
 * Returns the number of keypoints, -1 if a setting is out of its range.
 */
EXPORT DISPATCHED int superpoint_decode(Decoder *d, const float *logits, const Settings *s,
                                        const uint8_t *allowed, float *points) {
  if (!(s->threshold >= 0 && s->threshold <= 1) || s->radius < 0 || s->radius > MAX_RADIUS ||
      s->most < 1 || s->border < 0 || s->grid_rows < 1 || s->grid_rows > MAX_PARTS ||
      s->grid_cols < 1 || s->grid_cols > MAX_PARTS) {
    return -1;
  }
  const int pixels = d->height * d->width, room = s->most < pixels ? s->most : pixels;
  const int has_grid = s->grid_rows > 1 || s->grid_cols > 1;
  d->image += d->image == UINT32_MAX ? 2 : 1; /* never 0, which means no image */
  int count = suppress(d, find_candidates(d, logits, s->threshold), s, allowed);
  sort_by_score(d, count);
  if (count > room) {
    if (has_grid) spread_over_grid(d, s, count);
    count = room;
  }
  float *const x = points, *const y = x + room, *const score = y + room;
  for (int i = 0; i < count; i++) {
    const uint32_t p = d->position[d->kept[i]];
    x[i] = (float)col_of(p);
    y[i] = (float)row_of(p);
    score[i] = d->score[d->kept[i]] < 1 ? d->score[d->kept[i]] : 1;
    if (s->subpixel) shift_to_peak(d, logits, row_of(p), col_of(p), x + i, y + i);
  }
  return count;
}

/* ---------------------------------------------------------------------------------- refine */

enum {
  REACH = 3, /* [px] of the window around a keypoint */
  WINDOW = 2 * REACH + 1,
  GRADIENTS = WINDOW + 2, /* one more on each side, for the sums over 3x3 pixels */
  SMOOTHED = GRADIENTS + 2,
  TOGETHER = 4, /* keypoints that are refined together: a vector holds one number of each */
  MARGIN = 8    /* [px] from the edge; rows of 16 bytes are read */
};

/* Two neighbouring pixels of each keypoint's window. */
typedef uint8_t Pair __attribute__((vector_size(8)));

/* (a + b + 1) / 2 of bytes; four rows of 16 pixels, interleaved; differences of bytes; products and
 * sums of them, which stay below 2^24: floats hold them exactly, too. */
#if defined(__ARM_NEON)
typedef int16x4_t Difference;
typedef i4 Sum;
INLINE b16 average(b16 a, b16 b) { return (b16)vrhaddq_u8((uint8x16_t)a, (uint8x16_t)b); }
INLINE void interleave(const b16 *rows, Pair to[8]) {
  uint8x16x4_t r;
  memcpy(&r, rows, sizeof r);
  vst4q_u8((uint8_t *)to, r);
}
INLINE void subtract(Pair a, Pair b, Difference to[2]) {
  const int16x8_t v = (int16x8_t)vsubl_u8((uint8x8_t)a, (uint8x8_t)b);
  memcpy(to, &v, sizeof v);
}
INLINE Sum multiply(Difference a, Difference b) { return (Sum)vmull_s16(a, b); }
INLINE Sum add_product(Sum sum, Difference a, Difference b) {
  return (Sum)vmlal_s16((int32x4_t)sum, a, b);
}
INLINE f4 to_float(Sum v) { return __builtin_convertvector(v, f4); }
#else
typedef int16_t h8 __attribute__((vector_size(16)));
typedef f4 Difference;
typedef f4 Sum;
#if defined(__SSE2__)
INLINE b16 average(b16 a, b16 b) { return (b16)_mm_avg_epu8((__m128i)a, (__m128i)b); }
#else
INLINE b16 average(b16 a, b16 b) { return (a | b) - ((a ^ b) >> 1); }
#endif
INLINE void interleave(const b16 *rows, Pair to[8]) {
  for (int i = 0; i < 16; i++) {
    for (int n = 0; n < TOGETHER; n++) to[i / 2][i % 2 * TOGETHER + n] = rows[n][i];
  }
}
INLINE void subtract(Pair a, Pair b, Difference to[2]) {
  const h8 v = __builtin_convertvector(a, h8) - __builtin_convertvector(b, h8);
  to[0] = __builtin_convertvector((i4){v[0], v[1], v[2], v[3]}, f4);
  to[1] = __builtin_convertvector((i4){v[4], v[5], v[6], v[7]}, f4);
}
INLINE Sum multiply(Difference a, Difference b) { return a * b; }
INLINE Sum add_product(Sum sum, Difference a, Difference b) { return sum + a * b; }
INLINE f4 to_float(Sum v) { return v; }
#endif

/*
 * Smooth an image by rounded averages of neighbours, four times along each axis: [1 4 6 4 1] / 16.
 *
 * from: first of 15 rows of 16 bytes. to: every TOGETHER-th vector receives a row of 12 bytes.
 */
INLINE void smooth(const uint8_t *from, ptrdiff_t width, b16 *to) {
  const b16 next = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0};
  b16 last[4]; /* the row above, at each stage */
#pragma GCC unroll 15
  for (int r = 0; r < SMOOTHED + 4; r++, from += width) {
    b16 v = load_bytes(from);
    for (int i = 0; i < 4; i++) {
      const b16 now = v;
      if (i < r) v = average(last[i], now);
      last[i] = now;
      if (i >= r) break;
    }
    if (r < 4) continue;
    for (int i = 0; i < 4; i++) v = average(v, __builtin_shuffle(v, next));
    to[(r - 4) * TOGETHER] = v;
  }
}

/* Differences along each axis around the smoothed pixels [row + 1][column], columns 1..9. */
typedef struct {
  Difference x[GRADIENTS][SMOOTHED + 1], y[GRADIENTS][SMOOTHED + 1];
} Gradients;

INLINE void find_gradients(const b16 *rows, Gradients *g) {
  Pair pixels[SMOOTHED][8];
#pragma GCC unroll 1
  for (int r = 0; r < SMOOTHED; r++) interleave(rows + r * TOGETHER, pixels[r]);
#pragma GCC unroll 9
  for (int r = 0; r < GRADIENTS; r++) {
#pragma GCC unroll 6
    for (int p = 0; p < 6; p++) {
      const Pair *above = pixels[r] + p, *here = pixels[r + 1] + p, *below = pixels[r + 2] + p;
      if (p < 5) subtract(here[1], here[0], g->x[r] + 2 * p + 1);
      subtract(*below, *above, g->y[r] + 2 * p);
    }
  }
}

/* Sums of products of gradients. */
typedef struct {
  Sum xx, yy, xy;
} Matrices;

INLINE Matrices add(Matrices a, Matrices b) {
  return (Matrices){a.xx + b.xx, a.yy + b.yy, a.xy + b.xy};
}

/* Sum of three rows, from `r` on, in one column. */
INLINE Matrices sum_rows(const Gradients *g, int r, int c) {
  Matrices m = {multiply(g->x[r][c], g->x[r][c]), multiply(g->y[r][c], g->y[r][c]),
                multiply(g->x[r][c], g->y[r][c])};
  for (int i = r + 1; i < r + 3; i++) {
    m.xx = add_product(m.xx, g->x[i][c], g->x[i][c]);
    m.yy = add_product(m.yy, g->y[i][c], g->y[i][c]);
    m.xy = add_product(m.xy, g->x[i][c], g->y[i][c]);
  }
  return m;
}

/* Reciprocals; on 32-bit ARM with a relative error of 2e-5. */
INLINE f4 reciprocals(f4 v) {
#if defined(__ARM_NEON) && !defined(__aarch64__)
  const float32x4_t x = (float32x4_t)v, r = vrecpeq_f32(x);
  return (f4)vmulq_f32(r, vrecpsq_f32(x, r));
#else
  return 1.0f / v;
#endif
}

/* Square of the corner strength, determinant / trace of gradient matrices. */
INLINE f4 squared_strength(Matrices m) {
  const f4 xx = to_float(m.xx), yy = to_float(m.yy), xy = to_float(m.xy);
  const f4 diagonal = xx * yy; /* before xy * xy: GCC fuses the first product and the difference */
  const f4 strength = (xy * xy - diagonal) * reciprocals(xx + yy + 1);
  return strength * strength;
}

/* exp(v), |v| <= 1/8: relative error 3e-7. */
INLINE f4 small_exponentials(f4 v) {
  return 1 + v * (1 + v * (0.5f + v * (1 / 6.0f + v * (1 / 24.0f))));
}

/* exp(s * offset / tau^2 - s^2 / (2 tau^2)) for the steps s = -3..3; tau: 2 px. */
INLINE void distance_weights(f4 offset, f4 weights[WINDOW]) {
  static const float at[] = {1, 0.882496903f, 0.606530660f, 0.324652467f};
  const f4 right = small_exponentials(offset * 0.25f), left = small_exponentials(offset * -0.25f);
  f4 to_right = right, to_left = left;
  weights[REACH] = (f4){1, 1, 1, 1};
  for (int s = 1; s <= REACH; s++, to_right *= right, to_left *= left) {
    weights[REACH + s] = at[s] * to_right;
    weights[REACH - s] = at[s] * to_left;
  }
}

/*
 * Replace offsets of keypoints from the middle of the window by those of the weighted centres.
 *
 * Returns the sums of the weights; where one is 0, there is no centre.
 */
INLINE f4 find_centres(const Gradients *g, f4 *x, f4 *y) {
  f4 by_col[WINDOW], by_row[WINDOW], total = {0}, moment_x = {0}, moment_y = {0};
  distance_weights(*x, by_col);
  distance_weights(*y, by_row);
#pragma GCC unroll 1
  for (int r = 0; r < WINDOW; r++) {
    f4 sum = {0}, moment = {0};
    Matrices last = sum_rows(g, r, 2), pair = add(sum_rows(g, r, 1), last);
#pragma GCC unroll 1
    for (int c = 0; c < WINDOW; c++) {
      const Matrices now = sum_rows(g, r, c + 3);
      sum += by_col[c] * squared_strength(add(pair, now));
      moment += sum; /* the first column counts WINDOW times, the last one once */
      pair = add(last, now);
      last = now;
    }
    total += by_row[r] * sum;
    moment_x += by_row[r] * moment;
    moment_y += total;
  }
  *x = REACH + 1 - moment_x / total;
  *y = REACH + 1 - moment_y / total;
  return total;
}

/*
 * Move keypoints to the weighted centre of the corner strength around them: features/refine.py.
 *
 * image: (height, width) bytes. x, y: `count` keypoints [px], replaced. Those nearer than MARGIN
 * to the edge stay where they are, and those in an area without gradients.
 */
EXPORT DISPATCHED void superpoint_refine(const uint8_t *image, int height, int width, int count,
                                         float *restrict x, float *restrict y) {
  b16 smoothed[SMOOTHED * TOGETHER] = {{0}};
  for (int n = 0; n < count;) {
    int index[TOGETHER], found = 0;
    float col[TOGETHER], row[TOGETHER], from_col[TOGETHER] = {0}, from_row[TOGETHER] = {0};
    for (; n < count && found < TOGETHER; n++) {
      if (!(x[n] >= MARGIN - 0.5f && x[n] < width - MARGIN - 0.5f && y[n] >= MARGIN - 0.5f &&
            y[n] < height - MARGIN - 0.5f)) {
        continue;
      }
      const int c = (int)(x[n] + 0.5f), r = (int)(y[n] + 0.5f);
      smooth(image + (ptrdiff_t)(r - REACH - 4) * width + (c - REACH - 4), width,
             smoothed + found);
      col[found] = (float)c;
      row[found] = (float)r;
      from_col[found] = x[n] - (float)c;
      from_row[found] = y[n] - (float)r;
      index[found++] = n;
    }
    Gradients gradients;
    find_gradients(smoothed, &gradients);
    f4 to_x = load(from_col), to_y = load(from_row);
    const f4 total = find_centres(&gradients, &to_x, &to_y);
    for (int i = 0; i < found; i++) {
      if (!(total[i] > 0)) continue;
      x[index[i]] = col[i] + to_x[i];
      y[index[i]] = row[i] + to_y[i];
    }
  }
}

/* -------------------------------------------------------------------------------- describe */

/* Type of a raw descriptor map. */
enum { UINT8, INT8, FLOAT32 };

typedef struct {
  int channels, rows, cols, type;
  float zero_point; /* of the bytes in `by_cell` */
  void *by_cell;    /* the map, channels last; int8 as uint8, each value + 128 */
} Sampler;

/* Transpose 8 rows of 16 bytes to 16 rows of 8, each byte ^ flip. Steps: from row to row. */
INLINE void transpose_tile(const uint8_t *from, size_t from_step, uint8_t *to, size_t to_step,
                           uint8_t flip) {
  b16 row[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++, from += from_step) row[i] = load_bytes(from) ^ flip;
#if defined(__ARM_NEON)
  /* Transpose blocks of 2x2 bytes, of 2x2 pairs, of 2x2 fours. */
  const uint8x16x2_t a = vtrnq_u8((uint8x16_t)row[0], (uint8x16_t)row[1]);
  const uint8x16x2_t b = vtrnq_u8((uint8x16_t)row[2], (uint8x16_t)row[3]);
  const uint8x16x2_t c = vtrnq_u8((uint8x16_t)row[4], (uint8x16_t)row[5]);
  const uint8x16x2_t d = vtrnq_u8((uint8x16_t)row[6], (uint8x16_t)row[7]);
  const uint16x8x2_t e = vtrnq_u16((uint16x8_t)a.val[0], (uint16x8_t)b.val[0]);
  const uint16x8x2_t f = vtrnq_u16((uint16x8_t)a.val[1], (uint16x8_t)b.val[1]);
  const uint16x8x2_t g = vtrnq_u16((uint16x8_t)c.val[0], (uint16x8_t)d.val[0]);
  const uint16x8x2_t h = vtrnq_u16((uint16x8_t)c.val[1], (uint16x8_t)d.val[1]);
  const uint32x4x2_t columns[4] = {
      /* i: columns i, i + 4, and in the upper halves i + 8, i + 12 */
      vtrnq_u32((uint32x4_t)e.val[0], (uint32x4_t)g.val[0]),
      vtrnq_u32((uint32x4_t)f.val[0], (uint32x4_t)h.val[0]),
      vtrnq_u32((uint32x4_t)e.val[1], (uint32x4_t)g.val[1]),
      vtrnq_u32((uint32x4_t)f.val[1], (uint32x4_t)h.val[1]),
  };
  uint8_t *upper = to + 8 * to_step;
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++, to += to_step, upper += to_step) {
    const uint8x16_t column = (uint8x16_t)columns[i & 3].val[i >> 2];
    vst1_u8(to, vget_low_u8(column));
    vst1_u8(upper, vget_high_u8(column));
  }
#else
  /* Interleaving rows i and i + 4 of 8, three times over, transposes. */
  const b16 low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  const b16 high = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  b16 pairs[2][4], fours[4][2];
  for (int i = 0; i < 4; i++) {
    pairs[0][i] = __builtin_shuffle(row[i], row[i + 4], low);
    pairs[1][i] = __builtin_shuffle(row[i], row[i + 4], high);
  }
  for (int h = 0; h < 2; h++) {
    for (int i = 0; i < 2; i++) {
      fours[2 * h][i] = __builtin_shuffle(pairs[h][i], pairs[h][i + 2], low);
      fours[2 * h + 1][i] = __builtin_shuffle(pairs[h][i], pairs[h][i + 2], high);
    }
  }
  for (int q = 0; q < 4; q++) {
    const b16 columns[2] = {__builtin_shuffle(fours[q][0], fours[q][1], low),
                            __builtin_shuffle(fours[q][0], fours[q][1], high)};
    for (int k = 0; k < 4; k++) {
      memcpy(to + (size_t)(4 * q + k) * to_step, (const uint8_t *)columns + 8 * k, 8);
    }
  }
#endif
}

/* Transpose a map of bytes (channels, cells) to (cells, channels), each byte ^ flip. */
INLINE void transpose_bytes(const uint8_t *restrict raw, size_t channels, size_t cells,
                            uint8_t flip, uint8_t *restrict by_cell) {
  const size_t whole_channels = channels & ~(size_t)7, whole_cells = cells & ~(size_t)15;
  for (size_t n = 0; n < whole_cells; n += 16) {
    for (size_t c = 0; c < whole_channels; c += 8) {
      transpose_tile(raw + c * cells + n, cells, by_cell + n * channels + c, channels, flip);
    }
  }
  for (size_t n = 0; n < cells; n++) {
    for (size_t c = n < whole_cells ? whole_channels : 0; c < channels; c++) {
      by_cell[n * channels + c] = raw[c * cells + n] ^ flip;
    }
  }
}

/* Transpose a map of floats (channels, cells) to (cells, channels). */
INLINE void transpose_floats(const float *restrict raw, size_t channels, size_t cells,
                             float *restrict by_cell) {
  for (size_t first = 0; first < cells; first += 16) { /* as many as a cache line holds */
    const size_t end = first + 16 < cells ? first + 16 : cells;
    for (size_t c = 0; c < channels; c++) {
      for (size_t n = first; n < end; n++) by_cell[n * channels + c] = raw[c * cells + n];
    }
  }
}

/* Element offsets of the four cells around a point (upper left, upper right, lower left, lower
 * right), and the point's distance from the upper left one, 0..1 [cells]. */
typedef struct {
  size_t offset[4];
  float right, below;
} Neighbourhood;

INLINE double clamped(double v, double most) { return v < 0 ? 0 : v > most ? most : v; }

/* x, y: [px] of the model input, no NaN. */
INLINE Neighbourhood neighbours(const Sampler *s, float x, float y) {
  const double px = clamped((x - (CELL - 1) / 2.0) / CELL, s->cols - 1);
  const double py = clamped((y - (CELL - 1) / 2.0) / CELL, s->rows - 1);
  int col = (int)px, row = (int)py;
  /* the upper left cell is at most the last but one along each axis */
  if (col > s->cols - 2) col = s->cols > 1 ? s->cols - 2 : 0;
  if (row > s->rows - 2) row = s->rows > 1 ? s->rows - 2 : 0;
  const size_t channels = (size_t)s->channels;
  const size_t to_right = s->cols > 1 ? channels : 0;
  const size_t to_below = s->rows > 1 ? channels * (size_t)s->cols : 0;
  const size_t first = ((size_t)row * (size_t)s->cols + (size_t)col) * channels;
  return (Neighbourhood){
      {first, first + to_right, first + to_below, first + to_below + to_right},
      (float)(px - col),
      (float)(py - row),
  };
}

/*
 * out[c] = sum of w[i] * t[i][c] - zero_point; returns the sum of squares.
 *
 * w: whole numbers below 256 whose sum is 256. zero_point: 256 times that of the map.
 */
INLINE float blend_bytes(const int *w, const uint8_t *const *t, float zero_point, int channels,
                         float *restrict out) {
  const uint8_t *restrict t0 = t[0], *restrict t1 = t[1];
  const uint8_t *restrict t2 = t[2], *restrict t3 = t[3];
  const uint8_t w0 = (uint8_t)w[0], w1 = (uint8_t)w[1], w2 = (uint8_t)w[2], w3 = (uint8_t)w[3];
  float sum = 0;
#if defined(__ARM_NEON)
  /* GCC would neither fuse the multiplications with the additions nor load whole vectors. */
  const uint8x8_t v0 = vdup_n_u8(w0), v1 = vdup_n_u8(w1), v2 = vdup_n_u8(w2), v3 = vdup_n_u8(w3);
  const uint16x4_t zero = vdup_n_u16((uint16_t)zero_point);
  f4 squares = {0};
  for (; channels >= 16; channels -= 16, t0 += 16, t1 += 16, t2 += 16, t3 += 16) {
    const uint8x16_t a = vld1q_u8(t0), b = vld1q_u8(t1), c = vld1q_u8(t2), d = vld1q_u8(t3);
    uint16x8_t q[2] = {vmull_u8(vget_low_u8(a), v0), vmull_u8(vget_high_u8(a), v0)};
    q[0] = vmlal_u8(q[0], vget_low_u8(b), v1);
    q[1] = vmlal_u8(q[1], vget_high_u8(b), v1);
    q[0] = vmlal_u8(q[0], vget_low_u8(c), v2);
    q[1] = vmlal_u8(q[1], vget_high_u8(c), v2);
    q[0] = vmlal_u8(q[0], vget_low_u8(d), v3);
    q[1] = vmlal_u8(q[1], vget_high_u8(d), v3);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++, out += 8) {
      const f4 low = __builtin_convertvector((i4)vsubl_u16(vget_low_u16(q[i]), zero), f4);
      const f4 high = __builtin_convertvector((i4)vsubl_u16(vget_high_u16(q[i]), zero), f4);
      store(out, low);
      store(out + LANES, high);
      squares += low * low;
      squares += high * high;
    }
  }
  sum = (squares[0] + squares[1]) + (squares[2] + squares[3]);
#else
#pragma omp simd reduction(+ : sum)
#endif
  for (int c = 0; c < channels; c++) {
    const uint16_t q = (uint16_t)((uint16_t)(w0 * t0[c]) + (uint16_t)(w1 * t1[c]) +
                                  (uint16_t)(w2 * t2[c]) + (uint16_t)(w3 * t3[c]));
    const float v = (float)q - zero_point;
    out[c] = v;
    sum += v * v;
  }
  return sum;
}

/* Bilinear samples of bytes, less the zero point, up to a factor; returns their sum of squares. */
INLINE float sample_bytes(const Sampler *s, const Neighbourhood *n, float *restrict out) {
  const uint8_t *map = s->by_cell;
  const uint8_t *restrict t0 = map + n->offset[0], *restrict t1 = map + n->offset[1];
  const uint8_t *restrict t2 = map + n->offset[2], *restrict t3 = map + n->offset[3];
  const int channels = s->channels;
  /* A keypoint on a pixel is a whole number of sixteenths of a cell away from the cells' centres:
   * its weights are whole numbers of 1/256. */
  const int right = (int)(16 * n->right), below = (int)(16 * n->below);
  const int w[4] = {(16 - right) * (16 - below), right * (16 - below), (16 - right) * below,
                    right * below};
  if (16 * n->right == right && 16 * n->below == below && w[0] < 256 && w[1] < 256 &&
      w[2] < 256 && w[3] < 256) {
    return blend_bytes(w, (const uint8_t *[]){t0, t1, t2, t3}, 256 * s->zero_point, channels, out);
  }
  float sum = 0;
  const float w0 = (1 - n->right) * (1 - n->below), w1 = n->right * (1 - n->below);
  const float w2 = (1 - n->right) * n->below, w3 = n->right * n->below;
  const float zero_point = s->zero_point;
#pragma omp simd reduction(+ : sum)
  for (int c = 0; c < channels; c++) {
    const float v = w0 * t0[c] + w1 * t1[c] + w2 * t2[c] + w3 * t3[c] - zero_point;
    out[c] = v;
    sum += v * v;
  }
  return sum;
}

/* Bilinear samples of floats; returns their sum of squares. */
INLINE float sample_floats(const Sampler *s, const Neighbourhood *n, float *restrict out) {
  const float *map = s->by_cell;
  const float *restrict t0 = map + n->offset[0], *restrict t1 = map + n->offset[1];
  const float *restrict t2 = map + n->offset[2], *restrict t3 = map + n->offset[3];
  const float w0 = (1 - n->right) * (1 - n->below), w1 = n->right * (1 - n->below);
  const float w2 = (1 - n->right) * n->below, w3 = n->right * n->below;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int c = 0; c < s->channels; c++) {
    const float v = w0 * t0[c] + w1 * t1[c] + w2 * t2[c] + w3 * t3[c];
    out[c] = v;
    sum += v * v;
  }
  return sum;
}

INLINE void scale(float *x, size_t count, float factor) {
  for (; count >= 16; count -= 16, x += 16) {
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += LANES) store(x + i, load(x + i) * factor);
  }
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

EXPORT void superpoint_sampler_destroy(Sampler *s) {
  if (!s) return;
  free(s->by_cell);
  free(s);
}

/*
 * Sampler for descriptor maps of (channels, rows, cols); NULL without the memory.
 *
 * type: UINT8, INT8 or FLOAT32. zero_point: of the quantisation; 0 for floats.
 */
EXPORT Sampler *superpoint_sampler_create(int channels, int rows, int cols, int type,
                                          int zero_point) {
  if (channels < 1 || channels > MAX_DESCRIPTOR_SIZE || rows < 1 || rows > MAX_CELLS ||
      cols < 1 || cols > MAX_CELLS || type < UINT8 || type > FLOAT32) {
    return NULL;
  }
  const uint64_t elements = (uint64_t)channels * (uint64_t)rows * (uint64_t)cols; /* <= 2^32 */
  const uint64_t size = elements * (type == FLOAT32 ? sizeof(float) : 1);
  if (size > PTRDIFF_MAX) return NULL; /* of 32-bit machines */
  Sampler *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->channels = channels;
  s->rows = rows;
  s->cols = cols;
  s->type = type;
  s->zero_point = (float)(type == INT8 ? zero_point + 128 : zero_point);
  s->by_cell = malloc((size_t)size);
  if (s->by_cell) return s;
  free(s);
  return NULL;
}

/*
 * Unit descriptors of `count` points.
 *
 * raw: (channels, rows, cols) of the sampler's type. x, y: (count,) [px] of the model input; the
 * map is sampled at (x + 0.5) / 8 - 0.5, clamped at its edge. out: (count, channels), receives rows
 * of L2 norm 1; a row of zeros where the map is zero, of NaN where a number is not finite.
 */
EXPORT DISPATCHED void superpoint_describe(Sampler *s, const void *raw, int count, const float *x,
                                           const float *y, float *out) {
  const size_t channels = (size_t)s->channels, cells = (size_t)s->rows * (size_t)s->cols;
  if (s->type == FLOAT32) {
    transpose_floats(raw, channels, cells, s->by_cell);
  } else if (s->type == INT8) {
    transpose_bytes(raw, channels, cells, 0x80, s->by_cell);
  } else {
    transpose_bytes(raw, channels, cells, 0, s->by_cell);
  }
  for (int i = 0; i < count; i++, out += channels) {
    const int is_number = x[i] == x[i] && y[i] == y[i];
    const Neighbourhood n = neighbours(s, is_number ? x[i] : 0, is_number ? y[i] : 0);
    const float sum =
        s->type == FLOAT32 ? sample_floats(s, &n, out) : sample_bytes(s, &n, out);
    /* convertTo, (q - zero_point) * scale: the scale would cancel in the normalisation. */
    const float norm = is_number ? sqrtf(sum) : NAN;
    const float factor = 1 / (norm < 1.17549435e-38f ? 1.17549435e-38f : norm);
    scale(out, channels, factor);
  }
}
