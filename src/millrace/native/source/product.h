/* Matrix products of any size by one thread, made of tiles. */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "tile.h"

#define DEPTH 192 /* so deep a panel, 24 KiB with AVX-512, stays in the first cache while all rows pass it */

/* out[place[r] + n] (+)= sum over k of a[row[r] + step[k]] * b[k][n], b in panels as `pack` makes them. Or, with ldb, b
   as it is, its rows so far apart: it is read in whole vectors, so something must lie behind it. */
typedef struct Product {
  const float *a;
  const ptrdiff_t *row;
  ptrdiff_t rows;
  const ptrdiff_t *step;
  ptrdiff_t depth;
  const float *b;
  ptrdiff_t ldb;
  float *out;
  const ptrdiff_t *place;
  ptrdiff_t columns;
  int add;
} Product;

void product(const Product *p);

/* How many rows a tile of it has: none is much shorter than the others. */
INLINE ptrdiff_t rows_together(ptrdiff_t rows) {
  return most(1, divided_up(rows, most(1, divided_up(rows, ROWS))));
}

/* The right factor in panels [columns / COLUMNS, depth, COLUMNS], the last one filled up with zeros.
   Its element k, n lies at from[at[k] + n * across]; `at` rises. */
void pack(float *panel, const float *from, const ptrdiff_t *at, ptrdiff_t depth, ptrdiff_t across, ptrdiff_t columns);

INLINE ptrdiff_t panels(ptrdiff_t columns) { return divided_up(columns, COLUMNS); }

#endif
