#include "winograd.h"

#include <stdlib.h>

#define DEEP 32 /* channels of a kernel that are transformed at a time */
#define MEMORY \
  131072 /* numbers of a block of patches, transformed, and of their products: they stay in the second cache */

/* One group of a convolution of images to out, or, turned, of the gradient of its output to that of its input. */
typedef struct Pass {
  ptrdiff_t size;               /* of a patch along an axis, 4 or 6: the kernel's and one more */
  const float *images, *kernel; /* [batch, high, wide, in_all]; [size - 1, size - 1, inside, filters of all groups] */
  float *out;                   /* [batch, out_high, out_wide, out_all] */
  ptrdiff_t batch, high, wide, in_all, out_high, out_wide, out_all;
  ptrdiff_t channels, filters;   /* of the group: what is summed over, and what comes out */
  ptrdiff_t first_in, first_out; /* of all */
  ptrdiff_t low_y, low_x;        /* padding before */
  ptrdiff_t across;              /* filters of all groups, as they lie in the kernel */
  int turned;
} Pass;

typedef struct Plan {
  Pass w;
  float *kernel;                  /* transformed: [spots, panels, channels, COLUMNS] */
  ptrdiff_t all;                  /* panels */
  ptrdiff_t down, right;          /* patches of an image */
  ptrdiff_t images, lines, block; /* whole images, or lines of patches of one; patches at a time */
} Plan;

int is_winograd(const Convolution *c) {
  const int small =
      c->y.kernel == c->x.kernel && (c->y.kernel == 3 || c->y.kernel == 5) && c->y.stride == 1 && c->x.stride == 1;
  const int dense = c->y.dilation == 1 && c->x.dilation == 1;
  const ptrdiff_t patches = c->batch * divided_up(c->y.out, 2) * divided_up(c->x.out, 2);
  return small && dense && c->inside % LANES == 0 && c->across % LANES == 0 && c->inside >= 32 && c->across >= 32 &&
         patches >= 64;
}

/* Several numbers of a kernel at a time: taps [places, DEEP, COLUMNS] to spots that lie `apart`. */
INLINE void transform_taps(float *to, ptrdiff_t apart, const float *taps, ptrdiff_t numbers, const int size) {
  for (ptrdiff_t n = 0; n < numbers; n += LANES) {
    Vector half[MOST][MOST], out[MOST];
    for (int x = 0; x < size - 1; x++) {
      Vector k[MOST];
      for (int y = 0; y < size - 1; y++) k[y] = load(taps + (y * (size - 1) + x) * DEEP * COLUMNS + n);
      of_kernel(out, k, size);
      for (int y = 0; y < size; y++) half[y][x] = out[y];
    }
    for (int y = 0; y < size; y++) {
      of_kernel(out, half[y], size);
      for (int x = 0; x < size; x++) store(to + (y * size + x) * apart + n, out[x]);
    }
  }
}

static void transform_kernel(const void *data, ptrdiff_t item) {
  const Plan *p = data;
  const Pass *w = &p->w;
  const ptrdiff_t chunks = divided_up(w->channels, DEEP), panel = item / chunks, first = item % chunks * DEEP;
  const ptrdiff_t depth = least(DEEP, w->channels - first), apart = p->all * w->channels * COLUMNS;
  const ptrdiff_t places = (w->size - 1) * (w->size - 1), columns = least(COLUMNS, w->filters - panel * COLUMNS);
  float *taps = scratch(2, divided_up(places * DEEP * COLUMNS, 2)),
        *to = p->kernel + (panel * w->channels + first) * COLUMNS;
  ptrdiff_t at[DEEP];
  for (ptrdiff_t k = 0; k < depth; k++) at[k] = (first + k) * (w->turned ? 1 : w->across);
  for (ptrdiff_t t = 0; t < places; t++) {
    const float *from = w->kernel + (w->turned ? (places - 1 - t) * w->filters : t * w->channels) * w->across;
    if (w->turned)
      pack(taps + t * DEEP * COLUMNS, from + panel * COLUMNS * w->across, at, depth, w->across, columns);
    else
      pack(taps + t * DEEP * COLUMNS, from + panel * COLUMNS, at, depth, 1, columns);
  }
  if (w->size == 4)
    transform_taps(to, apart, taps, depth * COLUMNS, 4);
  else
    transform_taps(to, apart, taps, depth * COLUMNS, 6);
}

INLINE void transform_patch_of(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel,
                               ptrdiff_t channels, const int size) {
  for (ptrdiff_t n = 0; n < channels; n += LANES) {
    Vector half[MOST][MOST], out[MOST];
    for (int x = 0; x < size; x++) {
      Vector d[MOST];
      for (int y = 0; y < size; y++) d[y] = load(from + y * line + x * pixel + n);
      of_patch(out, d, size);
      for (int y = 0; y < size; y++) half[y][x] = out[y];
    }
    for (int y = 0; y < size; y++) {
      of_patch(out, half[y], size);
      for (int x = 0; x < size; x++) store(to + (y * size + x) * apart + n, out[x]);
    }
  }
}

void transform_patch(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel, ptrdiff_t channels,
                     ptrdiff_t size) {
  if (size == 4)
    transform_patch_of(to, apart, from, line, pixel, channels, 4);
  else
    transform_patch_of(to, apart, from, line, pixel, channels, 6);
}

/* `down` and `right`: how many of the two lines and columns are wanted. */
INLINE void transform_back(float *out, ptrdiff_t line, ptrdiff_t pixel, const float *from, ptrdiff_t apart,
                           ptrdiff_t filters, int down, int right, const int size) {
  for (ptrdiff_t n = 0; n < filters; n += LANES) {
    Vector half[2][MOST], two[2];
    for (int x = 0; x < size; x++) {
      Vector m[MOST];
      for (int y = 0; y < size; y++) m[y] = load(from + (y * size + x) * apart + n);
      to_output(two, m, size);
      half[0][x] = two[0];
      half[1][x] = two[1];
    }
    for (int y = 0; y < down; y++) {
      to_output(two, half[y], size);
      store(out + y * line + n, two[0]);
      if (right > 1) store(out + y * line + pixel + n, two[1]);
    }
  }
}

static void convolve_patches(const void *data, ptrdiff_t item) {
  const Plan *p = data;
  const Pass *w = &p->w;
  const ptrdiff_t bands = divided_up(p->down, p->lines);
  const ptrdiff_t image = item / bands * p->images, images = least(p->images, w->batch - image);
  const ptrdiff_t first = item % bands * p->lines, lines = least(p->lines, p->down - first);
  const View view = cut_out(w->images + image * w->high * w->wide * w->in_all, images, w->high, w->wide, w->in_all,
                            2 * first - w->low_y, 2 * lines + w->size - 2, -w->low_x, 2 * p->right + w->size - 2);
  const ptrdiff_t patches = images * lines * p->right;
  const ptrdiff_t in_apart = p->block * w->channels, out_apart = p->block * w->filters;
  const ptrdiff_t spots = w->size * w->size;
  float *transformed = scratch(2, spots * divided_up(in_apart + out_apart, 2)),
        *products = transformed + spots * in_apart;
  ptrdiff_t *row = scratch(1, 2 * p->block + w->channels), *place = row + p->block, *step = place + p->block;
  for (ptrdiff_t t = 0; t < p->block; t++) row[t] = t * w->channels, place[t] = t * w->filters;
  for (ptrdiff_t k = 0; k < w->channels; k++) step[k] = k;
  for (ptrdiff_t begin = 0; begin < patches; begin += p->block) {
    const ptrdiff_t count = least(p->block, patches - begin);
    for (ptrdiff_t t = 0; t < count; t++) {
      const ptrdiff_t x = (begin + t) % p->right, y = (begin + t) / p->right % lines,
                      n = (begin + t) / p->right / lines;
      transform_patch(transformed + t * w->channels, in_apart,
                      view.first + n * view.image + 2 * y * view.line + 2 * x * w->in_all + w->first_in, view.line,
                      w->in_all, w->channels, w->size);
    }
    for (ptrdiff_t s = 0; s < spots; s++)
      product(&(Product){
          .a = transformed + s * in_apart,
          .row = row,
          .rows = count,
          .step = step,
          .depth = w->channels,
          .b = p->kernel + s * p->all * w->channels * COLUMNS,
          .out = products + s * out_apart,
          .place = place,
          .columns = w->filters,
      });
    for (ptrdiff_t t = 0; t < count; t++) {
      const ptrdiff_t x = (begin + t) % p->right * 2, y = ((begin + t) / p->right % lines + first) * 2;
      const ptrdiff_t n = (begin + t) / p->right / lines + image;
      float *out = w->out + ((n * w->out_high + y) * w->out_wide + x) * w->out_all + w->first_out;
      const ptrdiff_t line = w->out_wide * w->out_all;
      const int high = (int)least(2, w->out_high - y), wide = (int)least(2, w->out_wide - x);
      if (w->size == 4)
        transform_back(out, line, w->out_all, products + t * w->filters, out_apart, w->filters, high, wide, 4);
      else
        transform_back(out, line, w->out_all, products + t * w->filters, out_apart, w->filters, high, wide, 6);
    }
  }
}

static void *run(const Frame *frame, const Pass *w) {
  Plan p = {
      .w = *w, .all = panels(w->filters), .down = divided_up(w->out_high, 2), .right = divided_up(w->out_wide, 2)};
  p.kernel = shared(w->size * w->size * p.all * w->channels * COLUMNS);
  if (!p.kernel) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, transform_kernel, &p, p.all * divided_up(w->channels, DEEP));
  p.block = most(4 * ROWS, MEMORY / (w->size * w->size) / (w->channels + w->filters) / ROWS * ROWS);
  const ptrdiff_t patches = p.down * p.right, enough = 8 * threads.count;
  p.images = least(most(1, p.block / patches), divided_up(w->batch, threads.count));
  p.lines = p.images > 1 ? p.down : least(p.down, divided_up(4 * p.block, p.right));
  if (p.images == 1 && w->batch < enough) p.lines = least(p.lines, divided_up(p.down * w->batch, enough));
  parallel(&threads, convolve_patches, &p, divided_up(w->batch, p.images) * divided_up(p.down, p.lines));
  free(p.kernel);
  return NULL;
}

void *winograd(const Frame *frame, const Convolution *c) {
  void *error = NULL;
  for (ptrdiff_t g = 0; g < c->groups && !error; g++)
    error = run(frame, &(Pass){
                           .size = c->y.kernel + 1,
                           .batch = c->batch,
                           .kernel = c->kernel + g * c->across,
                           .across = c->filters,
                           .images = c->input,
                           .high = c->y.size,
                           .wide = c->x.size,
                           .low_y = c->y.low,
                           .low_x = c->x.low,
                           .in_all = c->channels,
                           .channels = c->inside,
                           .first_in = g * c->inside,
                           .out = c->result,
                           .out_high = c->y.out,
                           .out_wide = c->x.out,
                           .out_all = c->filters,
                           .filters = c->across,
                           .first_out = g * c->across,
                       });
  return error;
}

void *winograd_input_gradient(const Frame *frame, const Convolution *c) {
  void *error = NULL;
  for (ptrdiff_t g = 0; g < c->groups && !error; g++)
    error = run(frame, &(Pass){
                           .size = c->y.kernel + 1,
                           .batch = c->batch,
                           .kernel = c->kernel + g * c->across,
                           .across = c->filters,
                           .turned = 1,
                           .images = c->gradient,
                           .high = c->y.out,
                           .wide = c->x.out,
                           .low_y = c->y.kernel - 1 - c->y.low,
                           .low_x = c->x.kernel - 1 - c->x.low,
                           .in_all = c->filters,
                           .channels = c->across,
                           .first_in = g * c->across,
                           .out = c->result,
                           .out_high = c->y.size,
                           .out_wide = c->x.size,
                           .out_all = c->channels,
                           .filters = c->inside,
                           .first_out = g * c->inside,
                       });
  return error;
}
