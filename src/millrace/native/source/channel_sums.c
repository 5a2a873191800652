#include <stdlib.h>

#include "row.h"

/* What batch normalization sums over all positions, for each channel: x [positions, channels]. Blocks of positions that
   the first cache holds have means and sums of squares of their own, taken from the block's mean, and are put together
   after Chan, Golub and LeVeque 1983: memory is read once, and a mean far from 0 costs no digits. */

#define NUMBERS 8192 /* of a block, about: 32 KB */
#define STRIP   4    /* vectors of channels whose sums are in registers at a time */

typedef struct Channels {
  const float *x, *weights, *g, *mean; /* weights: each of as many positions as divide them evenly */
  float *sums;                         /* [blocks, 2, channels], then [blocks]: the sums of weights */
  ptrdiff_t positions, channels, blocks, repeated;
} Channels;

INLINE float weight(const Channels *c, ptrdiff_t position) { return c->weights[position / c->repeated]; }

/* For each strip of channels: `at`, where it begins, and `vectors` of them, the last one with `count` lanes. */
#define EACH_STRIP(channels, ...)                                   \
  do {                                                              \
    ptrdiff_t at = 0;                                               \
    for (; at + STRIP * LANES <= (channels); at += STRIP * LANES) { \
      enum { vectors = STRIP, count = LANES };                      \
      __VA_ARGS__                                                   \
    }                                                               \
    for (; at < (channels); at += LANES) {                          \
      const int count = (int)least(LANES, (channels) - at);         \
      enum { vectors = 1 };                                         \
      __VA_ARGS__                                                   \
    }                                                               \
  } while (0)

static void moments_of_block(const void *data, ptrdiff_t block) {
  const Channels *c = data;
  const ptrdiff_t first = c->positions * block / c->blocks, last = c->positions * (block + 1) / c->blocks;
  float *means = c->sums + block * 2 * c->channels, *squares = means + c->channels, whole = 0;
  for (ptrdiff_t p = first; p < last; p++) whole += weight(c, p);
  const float share = whole > 0 ? 1 / whole : 0;
  c->sums[c->blocks * 2 * c->channels + block] = whole;
  EACH_STRIP(c->channels, {
    Vector sum[STRIP] = {0};
    Vector square[STRIP] = {0};
    Vector origin[STRIP];
    UNROLL
    for (int v = 0; v < vectors; v++) origin[v] = take(c->x + at + v * LANES, count);
    for (ptrdiff_t p = first; p < last; p++) {
      const float w = weight(c, p);
      UNROLL
      for (int v = 0; v < vectors; v++)
        sum[v] += w * (take(c->x + p * c->channels + at + v * LANES, count) - origin[v]);
    }
    UNROLL
    for (int v = 0; v < vectors; v++) sum[v] *= share;
    for (ptrdiff_t p = first; p < last; p++) {
      const float w = weight(c, p);
      UNROLL
      for (int v = 0; v < vectors; v++) {
        const Vector centred = (take(c->x + p * c->channels + at + v * LANES, count) - origin[v]) - sum[v];
        square[v] += w * centred * centred;
      }
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
      put(means + at + v * LANES, sum[v], count);
      put(squares + at + v * LANES, square[v], count);
    }
  });
}

/* Sums over a block of g and of g (x - mean). */
static void gradient_of_block(const void *data, ptrdiff_t block) {
  const Channels *c = data;
  const ptrdiff_t first = c->positions * block / c->blocks, last = c->positions * (block + 1) / c->blocks;
  float *sums = c->sums + block * 2 * c->channels, *products = sums + c->channels;
  EACH_STRIP(c->channels, {
    Vector sum[STRIP] = {0};
    Vector product[STRIP] = {0};
    Vector mean[STRIP];
    UNROLL
    for (int v = 0; v < vectors; v++) mean[v] = take(c->mean + at + v * LANES, count);
    for (ptrdiff_t p = first; p < last; p++) {
      UNROLL
      for (int v = 0; v < vectors; v++) {
        const ptrdiff_t place = p * c->channels + at + v * LANES;
        const Vector g = take(c->g + place, count);
        sum[v] += g;
        product[v] += g * (take(c->x + place, count) - mean[v]);
      }
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
      put(sums + at + v * LANES, sum[v], count);
      put(products + at + v * LANES, product[v], count);
    }
  });
}

static int prepare(const Frame *frame, Channels *c) {
  const Buffer *x = frame->arguments.buffers[0];
  c->x = x->data, c->channels = x->shape[x->rank - 1], c->positions = elements(x) / c->channels;
  c->blocks = most(1, c->positions * c->channels / NUMBERS);
  c->blocks = most(1, least(c->blocks, c->positions / 4));
  c->sums = shared(c->blocks * (2 * c->channels + 1));
  return c->sums != NULL;
}

/* The mean and the variance of each channel, of blocks' own. */
static void put_together(const Channels *c, float *mean, float *variance) {
  const float *whole = c->sums + c->blocks * 2 * c->channels;
  const ptrdiff_t channels = c->channels;
  float all_of_it = 0;
  memset(mean, 0, channels * sizeof(float));
  memset(variance, 0, channels * sizeof(float));
  for (ptrdiff_t block = 0; block < c->blocks; block++) {
    const float *means = c->sums + block * 2 * channels, *squares = means + channels;
    all_of_it += whole[block];
    const float share = all_of_it > 0 ? whole[block] / all_of_it : 0, left = all_of_it - whole[block];
    for (ptrdiff_t n = 0; n < channels; n++) {
      const float apart = means[n] - mean[n];
      mean[n] += apart * share;
      variance[n] += squares[n] + apart * apart * (left * share);
    }
  }
  const float share = 1 / (all_of_it > 1e-30f ? all_of_it : 1e-30f);
  for (ptrdiff_t n = 0; n < channels; n++) variance[n] *= share, mean[n] += all_of_it > 0 ? c->x[n] : 0;
}

ROUTINE(channel_moments) {
  Channels c = {.weights = argument(frame, 1)};
  if (!prepare(frame, &c)) return no_memory(frame);
  c.repeated = most(1, c.positions / most(1, elements(frame->arguments.buffers[1])));
  const Threads threads = threads_of(frame);
  parallel(&threads, moments_of_block, &c, c.blocks);
  put_together(&c, result(frame, 0), result(frame, 1));
  free(c.sums);
  return NULL;
}

ROUTINE(channel_products) {
  Channels c = {.g = argument(frame, 1), .mean = argument(frame, 2)};
  if (!prepare(frame, &c)) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, gradient_of_block, &c, c.blocks);
  add_parts(c.sums, c.blocks, c.channels, result(frame, 0), result(frame, 1));
  free(c.sums);
  return NULL;
}
