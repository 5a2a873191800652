/* Convolutions in groups of so few channels that a vector holds several: depthwise ones have groups of a single one.
   Vectors run over the channels of a pixel, which lie side by side, across the groups. */
#ifndef DEPTHWISE_H
#define DEPTHWISE_H

#include "convolution.h"

typedef struct Grouped { /* what goes from `inside` numbers of each group to `across` */
  ptrdiff_t inside, across;
  ptrdiff_t groups, blocks; /* in all; a block is what a vector of the results holds */
} Grouped;

typedef struct Block { /* the numbers of a pixel that are read, and those that come out */
  ptrdiff_t from, to;
  int reads, columns;
} Block;

/* Groups of a block: whole ones, or 1 whose results take several blocks. */
INLINE ptrdiff_t together(const Grouped *g) { return most(1, LANES / most(g->inside, g->across)); }

INLINE ptrdiff_t blocks_of_group(const Grouped *g) { return divided_up(g->across, LANES); }

INLINE Grouped grouped(ptrdiff_t inside, ptrdiff_t across, ptrdiff_t groups) {
  Grouped g = {inside, across, groups, 0};
  g.blocks = divided_up(groups, together(&g)) * blocks_of_group(&g);
  return g;
}

INLINE Block block_of(const Grouped *g, ptrdiff_t number) {
  const ptrdiff_t pieces = blocks_of_group(g), first = number / pieces * together(g);
  const ptrdiff_t groups = least(together(g), g->groups - first), begun = number % pieces * LANES;
  return (Block){first * g->inside, first * g->across + begun, (int)(groups * g->inside),
                 (int)least(LANES, groups * g->across - begun)};
}

/* Which of the numbers that a block reads each of its results takes first; the others follow it. */
INLINE Lanes taken(const Grouped *g) {
  Lanes which = {0};
  for (int n = 0; n < LANES; n++) which[n] = g->across > LANES ? 0 : (int)least(LANES - 1, n / g->across * g->inside);
  return which;
}

/* What a block reads of a pixel, each number in the places of the results that take it. */
INLINE Vector seen_by(const float *pixel, int reads, Lanes which, const int deal, const int some) {
  const Vector numbers = some ? load_some(pixel, reads) : load(pixel);
  return deal ? chosen_from(numbers, which) : numbers;
}

#endif
