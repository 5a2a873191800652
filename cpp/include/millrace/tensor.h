// Arrays of numbers that go into a model and come out of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace millrace {

// What was wrong, with names, shapes and numbers.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class DType { float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, boolean };

// Sizes along the axes. Every size of a tensor is known; in the description of an input or output, -1 is an open one.
using Shape = std::vector<std::int64_t>;

std::string to_string(DType dtype);         // "float32", as NumPy calls it
std::string to_string(const Shape& shape);  // "[64, 28, 28, 1]"
std::size_t size_of(DType dtype);           // bytes of one element

// The dtype that holds a C++ type: dtype_of<float>() is DType::float32.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::float32;
  else if constexpr (std::is_same_v<T, double>) return DType::float64;
  else if constexpr (std::is_same_v<T, std::int8_t>) return DType::int8;
  else if constexpr (std::is_same_v<T, std::int16_t>) return DType::int16;
  else if constexpr (std::is_same_v<T, std::int32_t>) return DType::int32;
  else if constexpr (std::is_same_v<T, std::int64_t>) return DType::int64;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return DType::uint8;
  else if constexpr (std::is_same_v<T, std::uint16_t>) return DType::uint16;
  else if constexpr (std::is_same_v<T, std::uint32_t>) return DType::uint32;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return DType::uint64;
  else {
    static_assert(std::is_same_v<T, bool>, "a tensor holds float, double, bool, or an integer of 8 to 64 bits");
    return DType::boolean;
  }
}

// An array with a dtype and a shape that owns its elements, the last axis running fastest, as in NumPy.
class Tensor {
 public:
  Tensor() : Tensor(DType::float32, {0}) {}  // no elements

  // All zeros.  Throws Error for a negative size.
  Tensor(DType dtype, Shape shape);

  // The elements of a vector.  Throws Error unless there are as many as the shape says.
  template <class T>
  Tensor(Shape shape, const std::vector<T>& values) : Tensor(dtype_of<T>(), std::move(shape), values.size()) {
    std::copy(values.begin(), values.end(), data<T>());
  }

  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  std::size_t size() const noexcept { return bytes_.size() / size_of(dtype_); }  // elements

  // The elements.  Throws Error if they are of another type.
  template <class T>
  T* data() {
    return static_cast<T*>(as(dtype_of<T>()));
  }
  template <class T>
  const T* data() const {
    return static_cast<const T*>(as(dtype_of<T>()));
  }
  template <class T>
  std::vector<T> values() const {
    return std::vector<T>(data<T>(), data<T>() + size());
  }

  // The same elements as they lie in memory.
  void* raw() noexcept { return bytes_.data(); }
  const void* raw() const noexcept { return bytes_.data(); }
  std::size_t bytes() const noexcept { return bytes_.size(); }

 private:
  Tensor(DType dtype, Shape shape, std::size_t values);
  void* as(DType dtype);
  const void* as(DType dtype) const;

  DType dtype_;
  Shape shape_;
  std::vector<std::byte> bytes_;
};

std::string to_string(const Tensor& tensor);  // "float32[64, 28, 28, 1]"

}  // namespace millrace
