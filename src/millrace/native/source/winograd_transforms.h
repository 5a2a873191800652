/* The transforms of F(2 x 2, 3 x 3) and F(2 x 2, 5 x 5) of Lavin and Gray 2015, along one axis: the points 0, 1, -1 (2,
   -2) and infinity. `size`: 4 or 6 numbers of a patch, for a kernel of size - 1. */
#ifndef WINOGRAD_TRANSFORMS_H
#define WINOGRAD_TRANSFORMS_H

#include "vector.h"

#define MOST 6 /* of a size */

/* B^T d: a patch of the input. */
INLINE void of_patch(Vector *out, const Vector *d, const int size) {
  if (size == 4) {
    out[0] = d[0] - d[2];
    out[1] = d[1] + d[2];
    out[2] = d[2] - d[1];
    out[3] = d[1] - d[3];
  } else {
    const Vector even = d[4] - d[2] * 4.0f, odd = d[3] - d[1] * 4.0f;
    const Vector far = d[4] - d[2], near = (d[3] - d[1]) * 2.0f;
    out[0] = d[0] * 4.0f - d[2] * 5.0f + d[4];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = far + near;
    out[4] = far - near;
    out[5] = d[1] * 4.0f - d[3] * 5.0f + d[5];
  }
}

/* G k: a kernel. */
INLINE void of_kernel(Vector *out, const Vector *k, const int size) {
  if (size == 4) {
    const Vector even = (k[0] + k[2]) * 0.5f, odd = k[1] * 0.5f;
    out[0] = k[0];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = k[2];
  } else {
    const Vector even = (k[0] + k[2] + k[4]) * (-1.0f / 6), odd = (k[1] + k[3]) * (-1.0f / 6);
    const Vector far = (k[0] + k[2] * 4.0f + k[4] * 16.0f) * (1.0f / 24), near = (k[1] + k[3] * 4.0f) * (1.0f / 12);
    out[0] = k[0] * 0.25f;
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = far + near;
    out[4] = far - near;
    out[5] = k[4];
  }
}

/* A^T m: from products to the two outputs. */
INLINE void to_output(Vector *out, const Vector *m, const int size) {
  if (size == 4) {
    out[0] = m[0] + m[1] + m[2];
    out[1] = m[1] - m[2] - m[3];
  } else {
    out[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]);
    out[1] = (m[1] - m[2]) + (m[3] - m[4]) * 2.0f + m[5];
  }
}

/* A g: the gradient of the two outputs. */
INLINE void of_gradient(Vector *out, const Vector *g, const int size) {
  const Vector twice = g[1] * 2.0f;
  out[0] = g[0];
  out[1] = g[0] + g[1];
  out[2] = g[0] - g[1];
  if (size == 4) {
    out[3] = -g[1];
  } else {
    out[3] = g[0] + twice;
    out[4] = g[0] - twice;
    out[5] = g[1];
  }
}

/* G^T m: from products to the kernel's gradient. */
INLINE void to_kernel(Vector *out, const Vector *m, const int size) {
  if (size == 4) {
    const Vector even = (m[1] + m[2]) * 0.5f, odd = (m[1] - m[2]) * 0.5f;
    out[0] = m[0] + even;
    out[1] = odd;
    out[2] = even + m[3];
  } else {
    const Vector near = (m[1] + m[2]) * (-1.0f / 6), far = (m[3] + m[4]) * (1.0f / 24);
    const Vector near_odd = (m[1] - m[2]) * (-1.0f / 6), far_odd = (m[3] - m[4]) * (1.0f / 12);
    out[0] = m[0] * 0.25f + near + far;
    out[1] = near_odd + far_odd;
    out[2] = near + far * 4.0f;
    out[3] = near_odd + far_odd * 4.0f;
    out[4] = near + far * 16.0f + m[5];
  }
}

#endif
