/* Convolutions with kernels of 3 x 3 or 5 x 5 in fewer multiplications, by the minimal filters of Winograd: Lavin and Gray
   2015, Fast Algorithms for Convolutional Neural Networks, section 4.1. 2 x 2 outputs take 16 products for 36, or 36 for
   100: patches of the input, and the kernel, are transformed by additions; where they meet, one matrix product over channels
   for each spot of a patch stands for the convolution. */
#ifndef WINOGRAD_H
#define WINOGRAD_H

#include "convolution.h"
#include "winograd_transforms.h"

/* Whether it pays: a stride of one, enough channels to fill vectors, and enough patches for a product. */
int is_winograd(const Convolution *c);

/* One group of a convolution of images to out, or, turned, of the gradient of its output to that of its input. */
typedef struct Winograd {
  ptrdiff_t size;               /* of a patch along an axis, 4 or 6: the kernel's and one more */
  const float *images, *kernel; /* [batch, high, wide, in_all]; [3, 3, inside, filters of all groups] */
  float *out;                   /* [batch, out_high, out_wide, out_all] */
  ptrdiff_t batch, high, wide, in_all, out_high, out_wide, out_all;
  ptrdiff_t channels, filters;   /* of the group: what is summed over, and what comes out */
  ptrdiff_t first_in, first_out; /* of all */
  ptrdiff_t low_y, low_x;        /* padding before */
  ptrdiff_t across;              /* filters of all groups, as they lie in the kernel */
  int turned;
} Winograd;

/* NULL unless out of memory. */
void *winograd(const Frame *frame, const Winograd *w);

/* The gradient of the kernel, from c's input and gradient to its result; NULL unless out of memory. */
void *winograd_kernel_gradient(const Frame *frame, const Convolution *c);

/* A patch at `from`, its lines `line` and its pixels `pixel` apart, transformed to the size * size spots at `to`, `apart`
   from each other. channels: a multiple of LANES. */
void transform_patch(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel, ptrdiff_t channels,
                     ptrdiff_t size);

#endif
