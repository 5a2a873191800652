// millrace-predict: what a model exported by Millrace answers to arrays in .npy files.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "millrace/model.h"
#include "npy.h"

namespace {

using millrace::DType;
using millrace::Model;
using millrace::Tensor;

constexpr const char* usage =
    "millrace-predict MODEL.onnx [INPUT.npy ...] [options]\n"
    "\n"
    "Predicts with a model that Millrace exported as ONNX. The inputs are in the\n"
    "model's order, or NAME=INPUT.npy. Without inputs it says what the model takes\n"
    "and gives.\n"
    "\n"
    "  --out FILE.npy   write an output; given again, the next one\n"
    "  --top N          show the N likeliest classes (5); of numbers that are no\n"
    "                   probabilities of classes, the first N\n"
    "  --repeat N       predict N times more and print the median time\n"
    "  --threads N      threads that share one prediction (0: one a core)\n";

struct Usage {
  std::string wrong;
};

struct Arguments {
  std::vector<std::string> files, out;
  int top = 5, repeat = 0, threads = 0;
};

int number(const std::string& option, const std::string& text, int least) {
  int made = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), made);
  if (error != std::errc() || end != text.data() + text.size() || made < least)
    throw Usage{option + " takes a whole number from " + std::to_string(least) + ", got '" + text + "'"};
  return made;
}

Arguments parsed(const std::vector<std::string>& given) {
  Arguments made;
  for (std::size_t n = 0; n < given.size(); ++n) {
    const std::string& text = given[n];
    if (text.size() < 2 || text[0] != '-') {
      made.files.push_back(text);
      continue;
    }
    if (text == "--help" || text == "-h") throw Usage{""};
    if (text != "--out" && text != "--top" && text != "--repeat" && text != "--threads")
      throw Usage{"there is no option " + text};
    if (++n == given.size()) throw Usage{text + " lacks its value"};
    if (text == "--out") made.out.push_back(given[n]);
    if (text == "--top") made.top = number(text, given[n], 1);
    if (text == "--repeat") made.repeat = number(text, given[n], 1);
    if (text == "--threads") made.threads = number(text, given[n], 0);
  }
  if (made.files.empty()) throw Usage{"a model is missing"};
  return made;
}

// Text from a file, without what would steer a terminal.
std::string shown(std::string text) {
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F) c = '?';
  return text;
}

void describe(const Model& model) {
  std::cout << shown(model.name()) << "\n";
  for (const auto& port : model.inputs()) std::cout << "  in   " << shown(to_string(port)) << "\n";
  for (const auto& port : model.outputs()) std::cout << "  out  " << shown(to_string(port)) << "\n";
  if (!model.classes().empty()) std::cout << "  " << model.classes().size() << " classes\n";
}

// The arrays in the model's order: a file stands for the input that it names, or for the one at its place.
std::vector<Tensor> inputs_of(const Model& model, const std::vector<std::string>& files) {
  const auto& ports = model.inputs();
  if (files.size() != ports.size())
    throw millrace::Error("the model takes " + std::to_string(ports.size()) +
                          (ports.size() == 1 ? " input, got " : " inputs, got ") + std::to_string(files.size()) + ".");
  std::vector<Tensor> made(ports.size());
  std::vector<bool> known(ports.size());
  for (std::size_t n = 0; n < files.size(); ++n) {
    std::size_t place = n, start = 0;
    for (std::size_t port = 0; port < ports.size(); ++port)
      if (files[n].rfind(ports[port].name + "=", 0) == 0) {
        place = port;
        start = ports[port].name.size() + 1;
        break;
      }
    if (known[place]) throw millrace::Error("the input '" + ports[place].name + "' is given twice.");
    known[place] = true;
    made[place] = npy::read(files[n].substr(start));
  }
  return made;
}

template <class T>
std::vector<double> as_doubles(const Tensor& tensor) {
  const T* data = tensor.data<T>();
  std::vector<double> made;
  for (std::size_t n = 0; n < tensor.size(); ++n) made.push_back(static_cast<double>(data[n]));
  return made;
}

std::vector<double> numbers(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::float32: return as_doubles<float>(tensor);
    case DType::float64: return as_doubles<double>(tensor);
    case DType::int8: return as_doubles<std::int8_t>(tensor);
    case DType::int16: return as_doubles<std::int16_t>(tensor);
    case DType::int32: return as_doubles<std::int32_t>(tensor);
    case DType::int64: return as_doubles<std::int64_t>(tensor);
    case DType::uint8: return as_doubles<std::uint8_t>(tensor);
    case DType::uint16: return as_doubles<std::uint16_t>(tensor);
    case DType::uint32: return as_doubles<std::uint32_t>(tensor);
    case DType::uint64: return as_doubles<std::uint64_t>(tensor);
    case DType::boolean: return as_doubles<bool>(tensor);
  }
  return {};
}

std::string index_of(std::size_t row, const millrace::Shape& shape) {
  std::string text;
  for (std::size_t axis = shape.size() - 1; axis-- > 0;) {
    const auto size = static_cast<std::size_t>(shape[axis]);
    text = std::to_string(row % size) + (text.empty() ? "" : ", ") + text;
    row /= size;
  }
  return text;
}

// The places of the largest numbers, in their order; NaN comes last.
std::vector<std::size_t> largest(const double* values, std::size_t width, std::size_t count) {
  std::vector<std::size_t> order(width);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto rank = [&](std::size_t n) {
    return std::isnan(values[n]) ? -std::numeric_limits<double>::infinity() : values[n];
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rank(a) > rank(b); });
  order.resize(std::min(width, count));
  return order;
}

// Whether these numbers are the probabilities of classes of which one is right: what is sorted by them means something.
bool is_distribution(const double* values, std::size_t width) {
  double sum = 0;
  for (std::size_t n = 0; n < width; ++n) {
    if (!(values[n] >= 0 && values[n] <= 1)) return false;
    sum += values[n];
  }
  return std::abs(sum - 1) < 0.01;
}

// An output, a line for each place along all axes but the last: its likeliest classes, or else its first numbers.
void show(const Model& model, const std::string& name, const Tensor& output, int top) {
  constexpr std::size_t most = 20;
  std::cout << shown(name) << ": " << to_string(output) << "\n";
  if (output.size() == 0) return;
  const std::vector<double> all = numbers(output);
  const auto& shape = output.shape();
  const bool rows = shape.size() > 1;
  const std::size_t width = rows ? static_cast<std::size_t>(shape.back()) : 1, lines = all.size() / width;
  const auto& classes = model.classes();
  for (std::size_t line = 0; line < std::min(lines, most); ++line) {
    std::cout << "  " << (rows ? index_of(line, shape) : std::to_string(line)) << ":";
    const double* values = all.data() + line * width;
    const char* between = " ";
    const std::size_t count = std::min(width, static_cast<std::size_t>(top));
    const bool ranked = classes.size() == width || is_distribution(values, width);
    std::vector<std::size_t> places(count);
    if (ranked)
      places = largest(values, width, count);
    else
      std::iota(places.begin(), places.end(), std::size_t{0});
    for (const std::size_t n : places) {
      std::cout << between;
      if (width > 1 && ranked) std::cout << (classes.size() == width ? shown(classes[n]) : std::to_string(n)) << " ";
      std::cout << values[n];
      between = ", ";
    }
    std::cout << (!ranked && count < width ? " ...\n" : "\n");
  }
  if (lines > most) std::cout << "  and " << lines - most << " more\n";
}

void time(const Model& model, const std::vector<Tensor>& inputs, int repeat) {
  std::vector<double> taken;
  for (int n = 0; n < repeat; ++n) {
    const auto start = std::chrono::steady_clock::now();
    model.predict(inputs);
    taken.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(taken.begin(), taken.end());
  const auto at = [&](std::size_t tenths) { return taken[(taken.size() - 1) * tenths / 10]; };
  std::cout << "median " << at(5) << " ms, 10% below " << at(1) << ", 10% above " << at(9) << " (" << repeat
            << " times, ONNX Runtime " << millrace::runtime_version() << ")\n";
}

void run(const Arguments& arguments) {
  millrace::Options options;
  options.threads = arguments.threads;
  const Model model(arguments.files[0], options);
  if (arguments.files.size() == 1) return describe(model);
  const std::vector<Tensor> inputs = inputs_of(model, {arguments.files.begin() + 1, arguments.files.end()});
  const std::vector<Tensor> outputs = model.predict(inputs);
  if (arguments.out.size() > outputs.size())
    throw millrace::Error("the model has " + std::to_string(outputs.size()) + " outputs, but --out is given " +
                          std::to_string(arguments.out.size()) + " times.");
  for (std::size_t n = 0; n < outputs.size(); ++n) show(model, model.outputs()[n].name, outputs[n], arguments.top);
  for (std::size_t n = 0; n < arguments.out.size(); ++n) npy::write(arguments.out[n], outputs[n]);
  if (arguments.repeat) time(model, inputs, arguments.repeat);
}

}  // namespace

int main(int count, char** given) {
  try {
    run(parsed({given + 1, given + count}));
    return 0;
  } catch (const Usage& error) {
    if (error.wrong.empty()) return std::cout << usage, 0;
    std::cerr << "millrace-predict: " << error.wrong << ".\n\n" << usage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "millrace-predict: " << shown(error.what()) << "\n";
    return 1;
  }
}
