// A model that Millrace exported as ONNX, and its answers.
//
//   millrace::Model model("lenet.onnx");
//   millrace::Tensor probabilities = model.predict(images);
#pragma once

#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "millrace/tensor.h"

namespace millrace {

// An input or output of a model.
struct Port {
  std::string name;
  DType dtype = DType::float32;
  Shape shape;                    // -1 for an axis of any size, such as the batch
  std::vector<std::string> axes;  // what such an axis is called, "" for one of a fixed size or without a name
};

std::string to_string(const Port& port);  // "image: float32[batch, 28, 28, 1]"

struct Options {
  int threads = 0;  // that share the work of one prediction; 0 for one a core
};

// A trained model.  Several threads may predict with one model at the same time.
class Model {
 public:
  // Throws Error for a file that is missing or holds no such model, and where ONNX Runtime is not found.
  explicit Model(const std::filesystem::path& file, const Options& options = {});
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  const std::string& name() const noexcept;
  const std::vector<std::string>& classes() const noexcept;  // what the answers are called; none if that is not known
  const std::vector<Port>& inputs() const noexcept;
  const std::vector<Port>& outputs() const noexcept;

  // The output for the input of a model that has one of each.
  //
  // All of these throw Error for an input whose dtype or shape is not the model's, and say both.
  Tensor predict(const Tensor& input) const;

  // All outputs in their order, for the inputs in their order.
  std::vector<Tensor> predict(const std::vector<Tensor>& inputs) const;
  std::vector<Tensor> predict(std::initializer_list<Tensor> inputs) const;

  // All outputs by name, for the inputs by name.
  std::map<std::string, Tensor> predict(const std::map<std::string, Tensor>& inputs) const;

 private:
  struct Loaded;
  std::unique_ptr<const Loaded> loaded_;
};

// The version of the ONNX Runtime that predicts, such as "1.32.0".  Throws Error where none is found.
std::string runtime_version();

}  // namespace millrace
