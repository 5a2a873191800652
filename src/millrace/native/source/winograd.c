#include "winograd.h"

#include <stdlib.h>

#define DEEP 32    /* channels of a kernel that are transformed at a time */
#define MEMORY 131072 /* numbers of a block of patches, transformed, and of their products: they stay in the second cache */

typedef struct Plan {
  Winograd w;
  float *kernel;                 /* transformed: [SPOTS, panels, channels, COLUMNS] */
  ptrdiff_t all;                 /* panels */
  ptrdiff_t down, right;         /* patches of an image */
  ptrdiff_t images, lines, block; /* whole images, or lines of patches of one; patches at a time */
} Plan;

int is_winograd(const Convolution *c) {
  const int small = c->y.kernel == 3 && c->x.kernel == 3 && c->y.stride == 1 && c->x.stride == 1;
  const int dense = c->y.dilation == 1 && c->x.dilation == 1;
  const ptrdiff_t patches = c->batch * divided_up(c->y.out, 2) * divided_up(c->x.out, 2);
  return small && dense && c->inside % LANES == 0 && c->across % LANES == 0 && c->inside >= 32 && c->across >= 32 &&
         patches >= 64;
}

/* G k G^T, with G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]. */
static void transform_kernel(const void *data, ptrdiff_t item) {
  const Plan *p = data;
  const Winograd *w = &p->w;
  const ptrdiff_t chunks = divided_up(w->channels, DEEP), panel = item / chunks, first = item % chunks * DEEP;
  const ptrdiff_t depth = least(DEEP, w->channels - first), apart = p->all * w->channels * COLUMNS;
  float *taps = scratch(2, divided_up(9 * DEEP * COLUMNS, 2));
  ptrdiff_t at[DEEP];
  for (ptrdiff_t k = 0; k < depth; k++) at[k] = (first + k) * (w->turned ? 1 : w->across);
  const ptrdiff_t columns = least(COLUMNS, w->filters - panel * COLUMNS);
  for (ptrdiff_t t = 0; t < 9; t++) {
    const float *from = w->kernel + (w->turned ? (8 - t) * w->filters : t * w->channels) * w->across;
    if (w->turned) pack(taps + t * DEEP * COLUMNS, from + panel * COLUMNS * w->across, at, depth, w->across, columns);
    else pack(taps + t * DEEP * COLUMNS, from + panel * COLUMNS, at, depth, 1, columns);
  }
  float *to = p->kernel + (panel * w->channels + first) * COLUMNS;
  for (ptrdiff_t n = 0; n < depth * COLUMNS; n += LANES) {
    Vector k[9], half[4][3], out[4];
    for (int t = 0; t < 9; t++) k[t] = load(taps + t * DEEP * COLUMNS + n);
    for (int x = 0; x < 3; x++) {
      half[0][x] = k[x];
      half[1][x] = (k[x] + k[3 + x] + k[6 + x]) * 0.5f;
      half[2][x] = (k[x] - k[3 + x] + k[6 + x]) * 0.5f;
      half[3][x] = k[6 + x];
    }
    for (int y = 0; y < 4; y++) {
      out[0] = half[y][0];
      out[1] = (half[y][0] + half[y][1] + half[y][2]) * 0.5f;
      out[2] = (half[y][0] - half[y][1] + half[y][2]) * 0.5f;
      out[3] = half[y][2];
      for (int x = 0; x < 4; x++) store(to + (y * 4 + x) * apart + n, out[x]);
    }
  }
}

void transform_patch(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel,
                     ptrdiff_t channels) {
  for (ptrdiff_t n = 0; n < channels; n += LANES) {
    Vector half[4][4];
    for (int x = 0; x < 4; x++) {
      const float *d = from + x * pixel + n;
      const Vector d0 = load(d), d1 = load(d + line), d2 = load(d + 2 * line), d3 = load(d + 3 * line);
      half[0][x] = d0 - d2;
      half[1][x] = d1 + d2;
      half[2][x] = d2 - d1;
      half[3][x] = d1 - d3;
    }
    for (int y = 0; y < 4; y++) {
      float *spot = to + y * 4 * apart + n;
      store(spot, half[y][0] - half[y][2]);
      store(spot + apart, half[y][1] + half[y][2]);
      store(spot + 2 * apart, half[y][2] - half[y][1]);
      store(spot + 3 * apart, half[y][1] - half[y][3]);
    }
  }
}

/* A^T m A, with A^T = [1 1 1 0; 0 1 -1 -1]; `down` and `right`: how many of the two lines and columns are wanted. */
static void transform_back(float *out, ptrdiff_t line, ptrdiff_t pixel, const float *from, ptrdiff_t apart,
                           ptrdiff_t filters, int down, int right) {
  for (ptrdiff_t n = 0; n < filters; n += LANES) {
    Vector half[2][4];
    for (int x = 0; x < 4; x++) {
      const float *m = from + x * apart + n;
      const Vector m0 = load(m), m1 = load(m + 4 * apart), m2 = load(m + 8 * apart), m3 = load(m + 12 * apart);
      half[0][x] = m0 + m1 + m2;
      half[1][x] = m1 - m2 - m3;
    }
    for (int y = 0; y < down; y++) {
      store(out + y * line + n, half[y][0] + half[y][1] + half[y][2]);
      if (right > 1) store(out + y * line + pixel + n, half[y][1] - half[y][2] - half[y][3]);
    }
  }
}

static void convolve_patches(const void *data, ptrdiff_t item) {
  const Plan *p = data;
  const Winograd *w = &p->w;
  const ptrdiff_t bands = divided_up(p->down, p->lines);
  const ptrdiff_t image = item / bands * p->images, images = least(p->images, w->batch - image);
  const ptrdiff_t first = item % bands * p->lines, lines = least(p->lines, p->down - first);
  const View view = cut_out(w->images + image * w->high * w->wide * w->in_all, images, w->high, w->wide, w->in_all,
                            2 * first - w->low_y, 2 * lines + 2, -w->low_x, 2 * p->right + 2);
  const ptrdiff_t patches = images * lines * p->right;
  const ptrdiff_t in_apart = p->block * w->channels, out_apart = p->block * w->filters;
  float *transformed = scratch(2, SPOTS * divided_up(in_apart + out_apart, 2)), *products = transformed + SPOTS * in_apart;
  ptrdiff_t *row = scratch(1, 2 * p->block + w->channels), *place = row + p->block, *step = place + p->block;
  for (ptrdiff_t t = 0; t < p->block; t++) row[t] = t * w->channels, place[t] = t * w->filters;
  for (ptrdiff_t k = 0; k < w->channels; k++) step[k] = k;
  for (ptrdiff_t begin = 0; begin < patches; begin += p->block) {
    const ptrdiff_t count = least(p->block, patches - begin);
    for (ptrdiff_t t = 0; t < count; t++) {
      const ptrdiff_t x = (begin + t) % p->right, y = (begin + t) / p->right % lines, n = (begin + t) / p->right / lines;
      transform_patch(transformed + t * w->channels, in_apart,
                      view.first + n * view.image + 2 * y * view.line + 2 * x * w->in_all + w->first_in, view.line,
                      w->in_all, w->channels);
    }
    for (ptrdiff_t s = 0; s < SPOTS; s++)
      product(&(Product){
          .a = transformed + s * in_apart, .row = row, .rows = count, .step = step, .depth = w->channels,
          .b = p->kernel + s * p->all * w->channels * COLUMNS,
          .out = products + s * out_apart, .place = place, .columns = w->filters,
      });
    for (ptrdiff_t t = 0; t < count; t++) {
      const ptrdiff_t x = (begin + t) % p->right * 2, y = ((begin + t) / p->right % lines + first) * 2;
      const ptrdiff_t n = (begin + t) / p->right / lines + image;
      transform_back(w->out + ((n * w->out_high + y) * w->out_wide + x) * w->out_all + w->first_out,
                     w->out_wide * w->out_all, w->out_all, products + t * w->filters, out_apart, w->filters,
                     (int)least(2, w->out_high - y), (int)least(2, w->out_wide - x));
    }
  }
}

void *winograd(const Frame *frame, const Winograd *w) {
  Plan p = {.w = *w, .all = panels(w->filters), .down = divided_up(w->out_high, 2), .right = divided_up(w->out_wide, 2)};
  p.kernel = shared(SPOTS * p.all * w->channels * COLUMNS);
  if (!p.kernel) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, transform_kernel, &p, p.all * divided_up(w->channels, DEEP));
  p.block = most(4 * ROWS, MEMORY / SPOTS / (w->channels + w->filters) / ROWS * ROWS);
  const ptrdiff_t patches = p.down * p.right, enough = 8 * threads.count;
  p.images = least(most(1, p.block / patches), divided_up(w->batch, threads.count));
  p.lines = p.images > 1 ? p.down : least(p.down, divided_up(4 * p.block, p.right));
  if (p.images == 1 && w->batch < enough) p.lines = least(p.lines, divided_up(p.down * w->batch, enough));
  parallel(&threads, convolve_patches, &p, divided_up(w->batch, p.images) * divided_up(p.down, p.lines));
  free(p.kernel);
  return NULL;
}
