/* Vectors of the processor, by the compiler's own extension: one source for every set of instructions. */
#ifndef VECTOR_H
#define VECTOR_H

#include <stddef.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16 /* numbers in a vector */
#define ROWS  8  /* rows of a tile: 8 x 2 sums, their operands and the rows' addresses fit the registers */
#elif defined(__AVX__)
#define LANES 8
#define ROWS  6
#else
#define LANES 4
#define ROWS  8
#endif
#define WIDE    2 /* vectors side by side in a tile */
#define COLUMNS (LANES * WIDE)

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int Lanes __attribute__((vector_size(LANES * 4))); /* what comparing two vectors gives: -1 where it holds */

/* Half of one: as many of these are multiplied at a time as of whole ones, twice as often, where whole ones take two
 * turns. */
typedef float Half __attribute__((vector_size(LANES * 2), aligned(4), may_alias));

/* Before a loop whose count is known: unrolled whole, so that an array of vectors lies in registers. clang does that
   only where it is not told a number: a third of the speed else (clang 14, Zen 4). */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const float *from) { return *(const Vector *)from; }
INLINE void store(float *to, Vector vector) { *(Vector *)to = vector; }

/* Keeps the compiler from loading a vector again for each of its uses. */
#if defined(__x86_64__)
#define IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define IN_REGISTER(vector)
#endif

INLINE Half load_half(const float *from) { return *(const Half *)from; }

/* The first few numbers of a vector alone. */
#if defined(__AVX512F__)
#define FIRST_BITS(count) ((1u << (count)) - 1)
INLINE Vector load_some(const float *from, int count) {
  return (Vector)_mm512_maskz_loadu_ps((__mmask16)FIRST_BITS(count), from);
}
INLINE void store_some(float *to, Vector vector, int count) {
  _mm512_mask_storeu_ps(to, (__mmask16)FIRST_BITS(count), (__m512)vector);
}
INLINE Half load_few(const float *from, int count) {
  return (Half)_mm256_maskz_loadu_ps((__mmask8)FIRST_BITS(count), from);
}
INLINE void store_few(float *to, Half half, int count) {
  _mm256_mask_storeu_ps(to, (__mmask8)FIRST_BITS(count), (__m256)half);
}
#elif defined(__AVX2__)
INLINE __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE __m128i first_few(int count) { return _mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3)); }
INLINE Vector load_some(const float *from, int count) { return (Vector)_mm256_maskload_ps(from, first_lanes(count)); }
INLINE void store_some(float *to, Vector vector, int count) {
  _mm256_maskstore_ps(to, first_lanes(count), (__m256)vector);
}
INLINE Half load_few(const float *from, int count) { return (Half)_mm_maskload_ps(from, first_few(count)); }
INLINE void store_few(float *to, Half half, int count) { _mm_maskstore_ps(to, first_few(count), (__m128)half); }
#else
#define SOME(Kind, load, store)                           \
  INLINE Kind load(const float *from, int count) {        \
    Kind numbers = {0};                                   \
    for (int n = 0; n < count; n++) numbers[n] = from[n]; \
    return numbers;                                       \
  }                                                       \
  INLINE void store(float *to, Kind numbers, int count) { \
    for (int n = 0; n < count; n++) to[n] = numbers[n];   \
  }
SOME(Vector, load_some, store_some)
SOME(Half, load_few, store_few)
#endif

/* The numbers of a vector that these indices name. */
#if defined(__AVX512F__)
INLINE Vector chosen_from(Vector numbers, Lanes which) {
  return (Vector)_mm512_permutexvar_ps((__m512i)which, (__m512)numbers);
}
#elif defined(__AVX2__)
INLINE Vector chosen_from(Vector numbers, Lanes which) {
  return (Vector)_mm256_permutevar8x32_ps((__m256)numbers, (__m256i)which);
}
#else
INLINE Vector chosen_from(Vector numbers, Lanes which) {
  Vector chosen = {0};
  for (int n = 0; n < LANES; n++) chosen[n] = numbers[which[n]];
  return chosen;
}
#endif

/* The numbers of two vectors in turns, of their first halves and of their second. */
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Lanes){__VA_ARGS__})
#endif
#if LANES == 16
#define FIRST  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SECOND 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define FIRST  0, 8, 1, 9, 2, 10, 3, 11
#define SECOND 4, 12, 5, 13, 6, 14, 7, 15
#else
#define FIRST  0, 4, 1, 5
#define SECOND 2, 6, 3, 7
#endif

/* A square of numbers, turned: each time round the halves of the rows, half as many apart as before, are dealt out. */
INLINE void transpose(Vector square[LANES]) {
  UNROLL
  for (int times = 1; times < LANES; times *= 2) {
    Vector dealt[LANES];
    UNROLL
    for (int n = 0; n < LANES / 2; n++) {
      dealt[2 * n] = SHUFFLE(square[n], square[n + LANES / 2], FIRST);
      dealt[2 * n + 1] = SHUFFLE(square[n], square[n + LANES / 2], SECOND);
    }
    UNROLL
    for (int n = 0; n < LANES; n++) square[n] = dealt[n];
  }
}

INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t divided_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

#endif
