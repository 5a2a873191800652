// The part of ONNX Runtime's C interface that predicting needs, and finding the library at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#ifdef _WIN32
#define MILLRACE_ORT_CALL __stdcall
#else
#define MILLRACE_ORT_CALL
#endif

extern "C" {
struct OrtAllocator;
struct OrtEnv;
struct OrtMemoryInfo;
struct OrtModelMetadata;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtTypeInfo;
struct OrtValue;
}

namespace millrace {

using PathCharacter = std::filesystem::path::value_type;

// ONNX Runtime hands out one table of functions, to which each version only appends: a function's place and arguments
// hold for good. These are the ones used here: place, name, result, arguments. Enumerations are int.
// tests/declarations.cpp holds the list against ONNX Runtime's own header where that is at hand.
#define MILLRACE_ORT_FUNCTIONS(X)                                                                                  \
  X(2, GetErrorMessage, const char*, (const OrtStatus*))                                                           \
  X(3, CreateEnv, OrtStatus*, (int level, const char* name, OrtEnv**))                                             \
  X(7, CreateSession, OrtStatus*, (const OrtEnv*, const PathCharacter*, const OrtSessionOptions*, OrtSession**))   \
  X(9, Run, OrtStatus*,                                                                                            \
    (OrtSession*, const OrtRunOptions*, const char* const* names, const OrtValue* const* inputs, std::size_t,      \
     const char* const* output_names, std::size_t, OrtValue** outputs))                                            \
  X(10, CreateSessionOptions, OrtStatus*, (OrtSessionOptions**))                                                   \
  X(24, SetIntraOpNumThreads, OrtStatus*, (OrtSessionOptions*, int))                                               \
  X(30, SessionGetInputCount, OrtStatus*, (const OrtSession*, std::size_t*))                                       \
  X(31, SessionGetOutputCount, OrtStatus*, (const OrtSession*, std::size_t*))                                      \
  X(33, SessionGetInputTypeInfo, OrtStatus*, (const OrtSession*, std::size_t, OrtTypeInfo**))                      \
  X(34, SessionGetOutputTypeInfo, OrtStatus*, (const OrtSession*, std::size_t, OrtTypeInfo**))                     \
  X(36, SessionGetInputName, OrtStatus*, (const OrtSession*, std::size_t, OrtAllocator*, char**))                  \
  X(37, SessionGetOutputName, OrtStatus*, (const OrtSession*, std::size_t, OrtAllocator*, char**))                 \
  X(49, CreateTensorWithDataAsOrtValue, OrtStatus*,                                                                \
    (const OrtMemoryInfo*, void*, std::size_t bytes, const std::int64_t* shape, std::size_t rank, int element,     \
     OrtValue**))                                                                                                  \
  X(51, GetTensorMutableData, OrtStatus*, (OrtValue*, void**))                                                     \
  X(55, CastTypeInfoToTensorInfo, OrtStatus*, (const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**))             \
  X(60, GetTensorElementType, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, int*))                                \
  X(61, GetDimensionsCount, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, std::size_t*))                          \
  X(62, GetDimensions, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, std::int64_t*, std::size_t))                 \
  X(63, GetSymbolicDimensions, OrtStatus*, (const OrtTensorTypeAndShapeInfo*, const char**, std::size_t))          \
  X(65, GetTensorTypeAndShape, OrtStatus*, (const OrtValue*, OrtTensorTypeAndShapeInfo**))                         \
  X(69, CreateCpuMemoryInfo, OrtStatus*, (int allocator, int memory, OrtMemoryInfo**))                             \
  X(76, AllocatorFree, OrtStatus*, (OrtAllocator*, void*))                                                         \
  X(78, GetAllocatorWithDefaultOptions, OrtStatus*, (OrtAllocator**))                                              \
  X(93, ReleaseStatus, void, (OrtStatus*))                                                                         \
  X(94, ReleaseMemoryInfo, void, (OrtMemoryInfo*))                                                                 \
  X(95, ReleaseSession, void, (OrtSession*))                                                                       \
  X(96, ReleaseValue, void, (OrtValue*))                                                                           \
  X(98, ReleaseTypeInfo, void, (OrtTypeInfo*))                                                                     \
  X(99, ReleaseTensorTypeAndShapeInfo, void, (OrtTensorTypeAndShapeInfo*))                                         \
  X(100, ReleaseSessionOptions, void, (OrtSessionOptions*))                                                        \
  X(111, SessionGetModelMetadata, OrtStatus*, (const OrtSession*, OrtModelMetadata**))                             \
  X(116, ModelMetadataLookupCustomMetadataMap, OrtStatus*,                                                         \
    (const OrtModelMetadata*, OrtAllocator*, const char* key, char** value))                                       \
  X(118, ReleaseModelMetadata, void, (OrtModelMetadata*))

// The library, loaded once a process and kept until its end.
struct Runtime {
#define X(place, name, result, arguments) result(MILLRACE_ORT_CALL* name) arguments = nullptr;
  MILLRACE_ORT_FUNCTIONS(X)
#undef X
  std::string version;
  OrtEnv* environment = nullptr;
  OrtAllocator* allocator = nullptr;
  OrtMemoryInfo* memory = nullptr;

  // Throws Error, with ONNX Runtime's words after `what`, if a call went wrong.
  void check(OrtStatus* status, const std::string& what) const;
};

// Throws Error where no ONNX Runtime can be loaded; the next call looks again.
const Runtime& runtime();

}  // namespace millrace
