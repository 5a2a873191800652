/* What the library says of itself. */
#include "ffi.h"

#ifndef FINGERPRINT
#define FINGERPRINT ""
#endif

EXPORTED const char *millrace_fingerprint(void) { return FINGERPRINT; }

/* Whether this processor has every instruction that the library is compiled to. Itself it needs none of them. */
#if defined(__x86_64__)
__attribute__((target("arch=x86-64")))
#endif
EXPORTED int millrace_runs_here(void) {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#else
  return 1;
#endif
}
