// Compiles only if every function in src/runtime.h has the place and the arguments that ONNX Runtime's header gives it.
#include <cstddef>
#include <type_traits>

#include "onnxruntime_c_api.h"
#include "runtime.h"

#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wignored-attributes"  // "must not be null" and the like are no part of a type
#endif

namespace {

// A type as the binary interface sees it: enumerations are int, and noexcept changes nothing.
template <class T>
struct Seen {
  using type = std::conditional_t<std::is_enum_v<T>, int, T>;
};
template <class T>
struct Seen<T*> {
  using type = typename Seen<T>::type*;
};
template <class R, class... A>
struct Seen<R(MILLRACE_ORT_CALL*)(A...)> {
  using type = typename Seen<R>::type (*)(typename Seen<A>::type...);
};
template <class R, class... A>
struct Seen<R(MILLRACE_ORT_CALL*)(A...) noexcept> {
  using type = typename Seen<R>::type (*)(typename Seen<A>::type...);
};

#define X(place, name, result, arguments)                                                         \
  static_assert(offsetof(OrtApi, name) == place * sizeof(void*), #name " stands elsewhere");      \
  static_assert(std::is_same_v<Seen<decltype(millrace::Runtime::name)>::type,                     \
                               Seen<decltype(OrtApi::name)>::type>, #name " takes other arguments");
MILLRACE_ORT_FUNCTIONS(X)
#undef X

static_assert(offsetof(OrtApiBase, GetApi) == 0 && offsetof(OrtApiBase, GetVersionString) == sizeof(void*));
static_assert(ORT_LOGGING_LEVEL_ERROR == 3 && OrtArenaAllocator == 1 && OrtMemTypeDefault == 0);
static_assert(sizeof(ONNXTensorElementDataType) == sizeof(int));

// The order of millrace::DType.
static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == 1 && ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE == 11 &&
              ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 == 3 && ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16 == 5 &&
              ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 == 6 && ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 == 7 &&
              ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 == 2 && ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16 == 4 &&
              ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32 == 12 && ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64 == 13 &&
              ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL == 9);

}  // namespace
