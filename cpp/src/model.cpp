#include "millrace/model.h"

#include <cstring>
#include <fstream>
#include <utility>

#include "about.h"
#include "runtime.h"

namespace millrace {
namespace {

template <class T>
using Owned = std::unique_ptr<T, void(MILLRACE_ORT_CALL*)(T*)>;

// ONNX's number of an element type, in the order of DType.
constexpr int element_types[] = {1, 11, 3, 5, 6, 7, 2, 4, 12, 13, 9};

int element_of(DType dtype) { return element_types[static_cast<std::size_t>(dtype)]; }

DType dtype_of_element(int element, const std::string& what) {
  for (std::size_t n = 0; n < std::size(element_types); ++n)
    if (element_types[n] == element) return static_cast<DType>(n);
  throw Error(what + " is of ONNX's element type " + std::to_string(element) +
              ": only float32, float64, bool, and integers of 8 to 64 bits are supported.");
}

std::string text_of(const std::filesystem::path& file) { return "'" + file.string() + "'"; }

// A string that ONNX Runtime allocated; nullptr is "".
std::string taken(const Runtime& ort, char* text) {
  const std::string copy = text ? text : "";
  if (text) ort.check(ort.AllocatorFree(ort.allocator, text), "memory cannot be freed");
  return copy;
}

Shape shape_of(const Runtime& ort, const OrtTensorTypeAndShapeInfo* info, const std::string& what) {
  std::size_t rank = 0;
  ort.check(ort.GetDimensionsCount(info, &rank), what);
  Shape shape(rank);
  ort.check(ort.GetDimensions(info, shape.data(), rank), what);
  return shape;
}

Port port_of(const Runtime& ort, std::string name, const OrtTypeInfo* type, const std::string& kind) {
  const std::string what = kind + " '" + name + "'";
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  ort.check(ort.CastTypeInfoToTensorInfo(type, &info), what);
  if (!info) throw Error(what + " is no tensor: sequences and maps are not supported.");
  int element = 0;
  ort.check(ort.GetTensorElementType(info, &element), what);
  Port port{std::move(name), dtype_of_element(element, what), shape_of(ort, info, what), {}};
  std::vector<const char*> axes(port.shape.size());
  ort.check(ort.GetSymbolicDimensions(info, axes.data(), axes.size()), what);
  for (std::size_t n = 0; n < axes.size(); ++n) port.axes.emplace_back(port.shape[n] < 0 && axes[n] ? axes[n] : "");
  return port;
}

std::string names_of(const std::vector<Port>& ports) {
  std::string text;
  for (const Port& port : ports) text += (text.empty() ? "'" : ", '") + port.name + "'";
  return text;
}

std::vector<const char*> pointers(const std::vector<Port>& ports) {
  std::vector<const char*> names;
  for (const Port& port : ports) names.push_back(port.name.c_str());
  return names;
}

// The size that an input gives an open axis, and which input that was.
using Sizes = std::map<std::string, std::pair<std::int64_t, std::string>>;

// Throws Error unless a model can take a tensor at this input, beside those whose sizes are known.
void check(const Port& port, const Tensor& given, Sizes& sizes) {
  const auto wrong = [&](const std::string& mend) {
    return Error("input '" + port.name + "' has to be " + to_string(port).substr(port.name.size() + 2) + ", got " +
                 to_string(given) + "." + mend);
  };
  const Shape& shape = given.shape();
  if (given.dtype() != port.dtype) throw wrong("");
  if (shape.size() + 1 == port.shape.size() && port.shape[0] == -1)
    throw wrong(" The first axis counts the examples: a single one has size 1 there.");
  if (shape.size() != port.shape.size()) throw wrong("");
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const std::int64_t size = shape[axis], wanted = port.shape[axis];
    if (wanted >= 0 ? size != wanted : size == 0) throw wrong(size == 0 ? " There is nothing in it." : "");
    if (wanted >= 0 || port.axes[axis].empty()) continue;
    const auto [known, fresh] = sizes.try_emplace(port.axes[axis], size, port.name);
    if (!fresh && known->second.first != size)
      throw wrong(" '" + known->first + "' is " + std::to_string(known->second.first) + " in input '" +
                  known->second.second + "'.");
  }
}

}  // namespace

std::string to_string(const Port& port) {
  std::string text = port.name + ": " + to_string(port.dtype) + "[";
  for (std::size_t n = 0; n < port.shape.size(); ++n) {
    text += n ? ", " : "";
    if (port.shape[n] >= 0) text += std::to_string(port.shape[n]);
    else text += port.axes[n].empty() ? "?" : port.axes[n];
  }
  return text + "]";
}

struct Model::Loaded {
  explicit Loaded(const std::filesystem::path& file, const Options& options);

  std::vector<Tensor> run(const std::vector<const Tensor*>& given) const;

  const Runtime& ort = runtime();
  Owned<OrtSession> session{nullptr, ort.ReleaseSession};
  About about;
  std::vector<Port> inputs, outputs;

 private:
  using Count = decltype(Runtime::SessionGetInputCount);
  using Name = decltype(Runtime::SessionGetInputName);
  using Type = decltype(Runtime::SessionGetInputTypeInfo);
  std::vector<Port> ports(Count count, Name name, Type type, const std::string& kind) const;
  About described() const;
  Owned<OrtValue> value_of(const Tensor& tensor) const;
  Tensor tensor_of(OrtValue* value, const std::string& name) const;
};

Model::Loaded::Loaded(const std::filesystem::path& file, const Options& options) {
  if (options.threads < 0) throw Error("threads has to be 0 or more, got " + std::to_string(options.threads) + ".");
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) throw Error("the model " + text_of(file) + " does not exist.");
  if (std::filesystem::is_directory(file, ignored))
    throw Error(text_of(file) + " is a directory: expected an ONNX model, as `millrace export` writes it.");
  if (!std::ifstream(file, std::ios::binary)) throw Error("the model " + text_of(file) + " cannot be read.");

  const std::string what = text_of(file) + " is no ONNX model that ONNX Runtime " + ort.version + " can load";
  OrtSessionOptions* made = nullptr;
  ort.check(ort.CreateSessionOptions(&made), what);
  const Owned<OrtSessionOptions> settings(made, ort.ReleaseSessionOptions);
  ort.check(ort.SetIntraOpNumThreads(made, options.threads), what);
  OrtSession* opened = nullptr;
  ort.check(ort.CreateSession(ort.environment, file.c_str(), made, &opened), what);
  session.reset(opened);

  try {
    inputs = ports(ort.SessionGetInputCount, ort.SessionGetInputName, ort.SessionGetInputTypeInfo, "input");
    outputs = ports(ort.SessionGetOutputCount, ort.SessionGetOutputName, ort.SessionGetOutputTypeInfo, "output");
    about = described();
  } catch (const Error& error) {
    throw Error("the model " + text_of(file) + " cannot be used: " + error.what());
  }
  if (about.name.empty()) about.name = file.stem().string();
}

std::vector<Port> Model::Loaded::ports(Count count, Name name, Type type, const std::string& kind) const {
  std::size_t n = 0;
  ort.check(count(session.get(), &n), kind);
  std::vector<Port> made;
  for (std::size_t i = 0; i < n; ++i) {
    char* text = nullptr;
    ort.check(name(session.get(), i, ort.allocator, &text), kind);
    OrtTypeInfo* info = nullptr;
    std::string called = taken(ort, text);
    ort.check(type(session.get(), i, &info), kind);
    const Owned<OrtTypeInfo> owned(info, ort.ReleaseTypeInfo);
    made.push_back(port_of(ort, std::move(called), info, kind));
  }
  return made;
}

About Model::Loaded::described() const {
  const std::string what = "its metadata cannot be read";
  OrtModelMetadata* made = nullptr;
  ort.check(ort.SessionGetModelMetadata(session.get(), &made), what);
  const Owned<OrtModelMetadata> metadata(made, ort.ReleaseModelMetadata);
  char* text = nullptr;
  ort.check(ort.ModelMetadataLookupCustomMetadataMap(made, ort.allocator, "millrace", &text), what);
  if (!text) return {};
  const std::string json = taken(ort, text);
  try {
    return read_about(json);
  } catch (const Error&) {
    return {};  // a model that says nothing of itself, or not in Millrace's way, predicts all the same
  }
}

Owned<OrtValue> Model::Loaded::value_of(const Tensor& tensor) const {
  OrtValue* value = nullptr;
  // ONNX Runtime does not write to its inputs, but has no type for memory that may only be read.
  void* data = const_cast<void*>(tensor.raw());
  ort.check(ort.CreateTensorWithDataAsOrtValue(ort.memory, data, tensor.bytes(), tensor.shape().data(),
                                               tensor.shape().size(), element_of(tensor.dtype()), &value),
            "the input cannot be handed over");
  return {value, ort.ReleaseValue};
}

Tensor Model::Loaded::tensor_of(OrtValue* value, const std::string& name) const {
  const std::string what = "output '" + name + "'";
  OrtTensorTypeAndShapeInfo* info = nullptr;
  ort.check(ort.GetTensorTypeAndShape(value, &info), what);
  const Owned<OrtTensorTypeAndShapeInfo> owned(info, ort.ReleaseTensorTypeAndShapeInfo);
  int element = 0;
  ort.check(ort.GetTensorElementType(info, &element), what);
  Tensor tensor(dtype_of_element(element, what), shape_of(ort, info, what));
  void* data = nullptr;
  ort.check(ort.GetTensorMutableData(value, &data), what);
  if (tensor.bytes()) std::memcpy(tensor.raw(), data, tensor.bytes());
  return tensor;
}

std::vector<Tensor> Model::Loaded::run(const std::vector<const Tensor*>& given) const {
  if (given.size() != inputs.size())
    throw Error("the model '" + about.name + "' takes " + std::to_string(inputs.size()) + " inputs, " +
                names_of(inputs) + ", got " + std::to_string(given.size()) + ".");
  Sizes sizes;
  std::vector<Owned<OrtValue>> kept;
  std::vector<const OrtValue*> values;
  for (std::size_t n = 0; n < given.size(); ++n) {
    check(inputs[n], *given[n], sizes);
    kept.push_back(value_of(*given[n]));
    values.push_back(kept.back().get());
  }

  std::vector<OrtValue*> answers(outputs.size(), nullptr);
  OrtStatus* status = ort.Run(session.get(), nullptr, pointers(inputs).data(), values.data(), values.size(),
                              pointers(outputs).data(), outputs.size(), answers.data());
  std::vector<Owned<OrtValue>> owned;
  for (OrtValue* answer : answers) owned.emplace_back(answer, ort.ReleaseValue);
  ort.check(status, "the model '" + about.name + "' failed");
  std::vector<Tensor> made;
  for (std::size_t n = 0; n < outputs.size(); ++n) made.push_back(tensor_of(answers[n], outputs[n].name));
  return made;
}

Model::Model(const std::filesystem::path& file, const Options& options)
    : loaded_(std::make_unique<const Loaded>(file, options)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

const std::string& Model::name() const noexcept { return loaded_->about.name; }
const std::vector<std::string>& Model::classes() const noexcept { return loaded_->about.classes; }
const std::vector<Port>& Model::inputs() const noexcept { return loaded_->inputs; }
const std::vector<Port>& Model::outputs() const noexcept { return loaded_->outputs; }

Tensor Model::predict(const Tensor& input) const {
  if (outputs().size() != 1)
    throw Error("the model '" + name() + "' has " + std::to_string(outputs().size()) + " outputs, " +
                names_of(outputs()) + ": give the inputs as a vector or a map, and it gives all of them.");
  return std::move(loaded_->run({&input}).front());
}

std::vector<Tensor> Model::predict(const std::vector<Tensor>& given) const {
  std::vector<const Tensor*> ordered;
  for (const Tensor& tensor : given) ordered.push_back(&tensor);
  return loaded_->run(ordered);
}

std::vector<Tensor> Model::predict(std::initializer_list<Tensor> given) const {
  return predict(std::vector<Tensor>(given));
}

std::map<std::string, Tensor> Model::predict(const std::map<std::string, Tensor>& given) const {
  std::vector<const Tensor*> ordered(inputs().size(), nullptr);
  for (const auto& [called, tensor] : given) {
    std::size_t place = 0;
    while (place < ordered.size() && inputs()[place].name != called) ++place;
    if (place == ordered.size())
      throw Error("the model '" + name() + "' has no input '" + called + "': it takes " + names_of(inputs()) + ".");
    ordered[place] = &tensor;
  }
  for (std::size_t n = 0; n < ordered.size(); ++n)
    if (!ordered[n]) throw Error("the model '" + name() + "' lacks its input '" + inputs()[n].name + "'.");
  std::vector<Tensor> made = loaded_->run(ordered);
  std::map<std::string, Tensor> answers;
  for (std::size_t n = 0; n < made.size(); ++n) answers.emplace(outputs()[n].name, std::move(made[n]));
  return answers;
}

}  // namespace millrace
