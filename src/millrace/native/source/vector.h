/* Vectors of the processor, by the compiler's own extension: one source for every set of instructions. */
#ifndef VECTOR_H
#define VECTOR_H

#include <stddef.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16 /* numbers in a vector */
#define ROWS 8   /* rows of a tile: 8 x 2 sums, their operands and the rows' addresses fit the registers */
#elif defined(__AVX__)
#define LANES 8
#define ROWS 6
#else
#define LANES 4
#define ROWS 8
#endif
#define WIDE 2 /* vectors side by side in a tile */
#define COLUMNS (LANES * WIDE)

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* Before a loop whose count is known: unrolled whole, so that an array of vectors lies in registers. clang does that only
   where it is not told a number: a third of the speed else (clang 14, Zen 4). */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const float *from) { return *(const Vector *)from; }
INLINE void store(float *to, Vector vector) { *(Vector *)to = vector; }

INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t divided_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

#endif
