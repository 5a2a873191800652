/* What convolution and its two gradients share: geometry, and images with their edges. */
#ifndef CONVOLUTION_H
#define CONVOLUTION_H

#include "parallel.h"
#include "product.h"

typedef struct Axis { /* of space: sizes of input, output and kernel, and how the kernel moves */
  ptrdiff_t size, out, kernel, stride, low, dilation;
} Axis;

typedef struct Convolution {
  Axis y, x;
  ptrdiff_t batch, groups;
  ptrdiff_t channels, filters;            /* in all */
  ptrdiff_t inside, across;               /* channels and filters of a group */
  const float *input, *kernel, *gradient; /* those of them that are given */
  float *result;
} Convolution;

/* From the shapes of input [batch, height, width, channels] or [batch, width, channels], kernel and output, and `how`:
   strides, padding before, dilation, each for y and x, and groups. */
Convolution described(const Frame *frame, const Buffer *input, const Buffer *kernel, const Buffer *output);

/* Whether the sums are over nothing, as those over an empty batch: then the result is zero, and done. */
int sums_of_nothing(const Frame *frame);

typedef struct View { /* images [*, lines, columns, channels]: strides in floats */
  const float *first;
  ptrdiff_t line, image;
} View;

/* Lines and columns of images [images, height, width, channels], zeros where they lie outside. Copied to this thread's
   scratch 0, or as they are where nothing lies outside. */
View cut_out(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
             ptrdiff_t line, ptrdiff_t lines, ptrdiff_t column, ptrdiff_t columns);

/* The input that the windows of output lines [y, y + lines) of some images see. */
View windows(const Convolution *c, ptrdiff_t image, ptrdiff_t images, ptrdiff_t y, ptrdiff_t lines);

INLINE ptrdiff_t reach(const Axis *axis, ptrdiff_t positions) {
  return (positions - 1) * axis->stride + (axis->kernel - 1) * axis->dilation + 1;
}

/* The input's gradient where channels are so few that they would fill only a part of a vector. */
int has_few_channels(const Convolution *c);
void *few_channels_gradient(const Frame *frame, const Convolution *c);

/* Each in the way that spares the padding, from what c holds to its result; 0, and nothing done, where that would not
   be faster. */
int convolution_by_tap(const Frame *frame, const Convolution *c);
int input_gradient_by_tap(const Frame *frame, const Convolution *c);
int kernel_gradient_by_tap(const Frame *frame, const Convolution *c);

/* The same where each group has few channels: see depthwise.h. */
int is_depthwise(const Convolution *c);
void *depthwise(const Frame *frame, const Convolution *c);
void *depthwise_input_gradient(const Frame *frame, const Convolution *c);
void *depthwise_kernel_gradient(const Frame *frame, const Convolution *c);

#endif
