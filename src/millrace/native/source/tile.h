/* The innermost product, from which all others are made: a few rows by a few columns, summed in registers. */
#ifndef TILE_H
#define TILE_H

#include "vector.h"

/* out[place[r] + n] (+)= sum over k < depth of a[row[r] + step[k]] * b[k * ldb + n], for n < columns.
   Each row of the left factor may lie anywhere: windows of a convolution need no copy of their own. */
typedef struct Tile {
  const float *a;
  const ptrdiff_t *row, *step;
  ptrdiff_t depth;
  const float *b;
  ptrdiff_t ldb; /* b is read in whole vectors, up to WIDE of them */
  float *out;
  const ptrdiff_t *place;
  int columns; /* at most COLUMNS */
  int add;
} Tile;

void tile(const Tile *t, int rows); /* at most ROWS */

#endif
