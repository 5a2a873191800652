#include "millrace/tensor.h"

#include <limits>

namespace millrace {
namespace {

static_assert(sizeof(bool) == 1 && sizeof(float) == 4 && sizeof(double) == 8, "elements have the sizes of ONNX's");

struct Kind {
  const char* name;
  std::size_t size;
};

constexpr Kind kinds[] = {{"float32", 4}, {"float64", 8}, {"int8", 1},   {"int16", 2},  {"int32", 4}, {"int64", 8},
                          {"uint8", 1},   {"uint16", 2},  {"uint32", 4}, {"uint64", 8}, {"bool", 1}};

// The elements of a shape.
std::size_t count(DType dtype, const Shape& shape) {
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  std::size_t elements = 1;
  bool none = false;
  for (const std::int64_t n : shape) {
    if (n < 0) throw Error("a tensor cannot have the shape " + to_string(shape) + ": no size may be negative.");
    none = none || n == 0;
  }
  if (none) return 0;
  for (const std::int64_t n : shape) {
    if (static_cast<std::uint64_t>(n) > most / size_of(dtype) / elements)
      throw Error(to_string(dtype) + to_string(shape) + " is more than memory can hold.");
    elements *= static_cast<std::size_t>(n);
  }
  return elements;
}

}  // namespace

std::string to_string(DType dtype) { return kinds[static_cast<std::size_t>(dtype)].name; }

std::size_t size_of(DType dtype) { return kinds[static_cast<std::size_t>(dtype)].size; }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

std::string to_string(const Tensor& tensor) { return to_string(tensor.dtype()) + to_string(tensor.shape()); }

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), bytes_(count(dtype_, shape_) * size_of(dtype_)) {}

Tensor::Tensor(DType dtype, Shape shape, std::size_t values) : dtype_(dtype), shape_(std::move(shape)) {
  const std::size_t elements = count(dtype_, shape_);
  if (values != elements)
    throw Error("the shape " + to_string(shape_) + " takes " + std::to_string(elements) + " values, got " +
                std::to_string(values) + ".");
  bytes_.resize(elements * size_of(dtype_));
}

const void* Tensor::as(DType dtype) const {
  if (dtype != dtype_)
    throw Error("the elements of " + to_string(*this) + " cannot be read as " + to_string(dtype) + ".");
  return bytes_.data();
}

void* Tensor::as(DType dtype) { return const_cast<void*>(static_cast<const Tensor*>(this)->as(dtype)); }

}  // namespace millrace
