#include "product.h"

void product(const Product *p) {
  const ptrdiff_t rows =
      most(1, divided_up(p->rows, most(1, divided_up(p->rows, ROWS)))); /* of a tile: no short one at the end */
  if (p->depth == 0 && !p->add)
    for (ptrdiff_t r = 0; r < p->rows; r++) memset(p->out + p->place[r], 0, p->columns * sizeof(float));
  for (ptrdiff_t k = 0; k < p->depth; k += DEPTH)
    for (ptrdiff_t c = 0; c < p->columns; c += COLUMNS) {
      Tile t = {
          .a = p->a,
          .step = p->step + k,
          .depth = least(DEPTH, p->depth - k),
          .b = p->ldb ? p->b + c + k * p->ldb : p->b + c * p->depth + k * COLUMNS,
          .ldb = p->ldb ? p->ldb : COLUMNS,
          .out = p->out + c,
          .columns = (int)least(COLUMNS, p->columns - c),
          .add = p->add || k > 0,
      };
      for (ptrdiff_t r = 0; r < p->rows; r += rows) {
        t.row = p->row + r;
        t.place = p->place + r;
        tile(&t, (int)least(rows, p->rows - r));
      }
    }
}

void pack(float *panel, const float *from, const ptrdiff_t *at, ptrdiff_t depth, ptrdiff_t across, ptrdiff_t columns) {
  for (ptrdiff_t c = 0; c < columns; c += COLUMNS, panel += depth * COLUMNS) {
    const ptrdiff_t width = least(COLUMNS, columns - c);
    if (width < COLUMNS) memset(panel, 0, depth * COLUMNS * sizeof(float));
    if (across == 1) {
      if (width == COLUMNS)
        for (ptrdiff_t k = 0; k < depth; k++) memcpy(panel + k * COLUMNS, from + at[k] + c, COLUMNS * sizeof(float));
      else
        for (ptrdiff_t k = 0; k < depth; k++)
          for (ptrdiff_t n = 0; n < width; n++) panel[k * COLUMNS + n] = from[at[k] + c + n];
    } else {
      for (ptrdiff_t k0 = 0; k0 < depth; k0 += 16) /* a few lines of the cache at a time, both ways */
        for (ptrdiff_t n = 0; n < width; n++)
          for (ptrdiff_t k = k0; k < least(k0 + 16, depth); k++)
            panel[k * COLUMNS + n] = from[at[k] + (c + n) * across];
    }
  }
}
