/* Convolutions with kernels of 3 x 3 or 5 x 5 in fewer multiplications, by the minimal filters of Winograd: Lavin and
   Gray 2015, Fast Algorithms for Convolutional Neural Networks, section 4.1. 2 x 2 outputs take 16 products for 36, or
   36 for 100: patches of the input, and the kernel, are transformed by additions; where they meet, one matrix product
   over channels for each spot of a patch stands for the convolution. */
#ifndef WINOGRAD_H
#define WINOGRAD_H

#include "convolution.h"
#include "winograd_transforms.h"

/* Whether it pays: a stride of one, enough channels to fill vectors, and enough patches for a product. */
int is_winograd(const Convolution *c);

/* The convolution that c describes, or one of its gradients, from what c holds to its result; NULL unless out of
 * memory. */
void *winograd(const Frame *frame, const Convolution *c);
void *winograd_input_gradient(const Frame *frame, const Convolution *c);
void *winograd_kernel_gradient(const Frame *frame, const Convolution *c);

/* A patch at `from`, its lines `line` and its pixels `pixel` apart, transformed to the size * size spots at `to`,
   `apart` from each other. channels: a multiple of LANES. */
void transform_patch(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel, ptrdiff_t channels,
                     ptrdiff_t size);

#endif
