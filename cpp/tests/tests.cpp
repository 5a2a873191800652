// millrace-tests KIND ARGUMENTS: what is easier to try in C++ than from outside. tests/cpp/test_cpp.py calls it.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "about.h"
#include "millrace/model.h"
#include "npy.h"

namespace {

using millrace::DType;
using millrace::Error;
using millrace::Model;
using millrace::Tensor;

static_assert(!std::is_copy_constructible_v<Model> && std::is_nothrow_move_constructible_v<Model>);

int failures = 0;

void expect(bool right, const std::string& what) {
  if (right) return;
  std::cout << "WRONG: " << what << "\n";
  ++failures;
}

// What the error says; "" if there was none.
template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <class Call>
void refused(Call call, const std::string& part) {
  const std::string said = error_of(call);
  expect(said.find(part) != std::string::npos, "'" + part + "' is not in '" + said + "'");
}

template <class T>
void holds(const std::string& name) {
  const Tensor tensor({3}, std::vector<T>{T(0), T(1), std::numeric_limits<T>::max()});
  expect(to_string(tensor) == name + "[3]" && tensor.bytes() == 3 * sizeof(T), name);
  expect(tensor.values<T>() == std::vector<T>{T(0), T(1), std::numeric_limits<T>::max()}, name + " values");
}

void tensors() {
  holds<float>("float32"), holds<double>("float64"), holds<bool>("bool");
  holds<std::int8_t>("int8"), holds<std::int16_t>("int16"), holds<std::int32_t>("int32"), holds<std::int64_t>("int64");
  holds<std::uint8_t>("uint8"), holds<std::uint16_t>("uint16"), holds<std::uint32_t>("uint32");
  holds<std::uint64_t>("uint64");
  Tensor zeros(DType::float32, {2, 3});
  expect(zeros.values<float>() == std::vector<float>(6), "a new tensor is zero");
  expect(Tensor(DType::int64, {}).size() == 1 && Tensor(DType::int64, {4, 0}).size() == 0 && Tensor().size() == 0,
         "numbers of elements");
  zeros.data<float>()[5] = 2;
  const Tensor copy = zeros;
  zeros.data<float>()[5] = 3;
  expect(copy.data<float>()[5] == 2, "a copy has elements of its own");
  const Tensor moved = std::move(zeros);
  expect(moved.data<float>()[5] == 3 && moved.size() == 6, "moved");
  refused([&] { static_cast<void>(moved.data<double>()); }, "float32[2, 3] cannot be read as float64");
  refused([] { Tensor({2, 3}, std::vector<float>(5)); }, "[2, 3] takes 6 values, got 5");
  refused([] { Tensor(DType::int8, {2, -1}); }, "[2, -1]");
  const auto huge = std::numeric_limits<std::int64_t>::max();
  refused([&] { Tensor(DType::int8, {huge, 3}); }, "more than memory can hold");
  refused([&] { Tensor(DType::float64, {huge / 4}); }, "more than memory can hold");
  expect(Tensor(DType::int8, {huge, huge, 0}).size() == 0, "nothing is little");
}

void abouts() {
  const auto text =
      R"( {"settings": {"a": [1, -2.5e+3, NaN, {"name": "inner"}], "b": null}, "measured": {}, "name": "digits\n", )"
      R"("classes" : ["zero", "\u00e9\u4e2d\ud83d\ude00", "", "\"\\\/"] , "vocabulary": [true, false, 0, 0.5]} )";
  const millrace::About about = millrace::read_about(text);
  expect(about.name == "digits\n", "name");
  expect(about.classes == std::vector<std::string>{"zero", "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", "", "\"\\/"},
         "classes");
  expect(millrace::read_about("{}").classes.empty(), "nothing said");
  for (const char* wrong :
       {"", " ", "[]", "null", "{", "{\"classes\"}", "{\"classes\": }",
        "{\"classes\": [\"a\",]}", "{\"classes\": [\"a\" \"b\"]}", "{\"classes\": [\"a]}", "{\"a\": 01}",
        "{\"a\": 1.}", "{\"a\": -}", "{\"a\": 1e}", "{\"a\": nul}", "{\"a\": 1,}", "{} {}", "{'a': 1}",
        "{\"a\": \"\t\"}",
        "{\"name\": \"\\x\"}", "{\"name\": \"\\u12\"}", "{\"name\": \"\\ud800\"}", "{\"name\": \"\\ud800\\u0041\"}",
        "{\"name\": \"\\udc00\"}", "{\"name\": \"\\"})
    refused([&] { millrace::read_about(wrong); }, "no JSON: ");
  for (const char* other : {"{\"classes\": null}", "{\"classes\": [\"a\", 1, [\"b\"]]}",
                            "{\"classes\": {\"a\": 1}, \"name\": 1}"})
    expect(millrace::read_about(other).classes.empty() && millrace::read_about(other).name.empty(), other);
  refused([] { millrace::read_about("{\"a\": " + std::string(200'000, '[')); }, "levels");

  std::mt19937 random(7);
  const std::string whole = text;
  int read = 0;
  for (unsigned n = 0; n < 5'000; ++n) {
    std::string damaged = whole;
    for (unsigned k = 0; k <= n % 3; ++k) {
      const std::size_t at = random() % damaged.size();
      if (random() % 3 == 0) damaged[at] = static_cast<char>(random());
      else if (random() % 2) damaged.erase(at, random() % 9);
      else damaged.insert(at, 1, "{}[]\",:\\u0e"[random() % 11]);
      if (damaged.empty()) damaged = " ";
    }
    read += error_of([&] { millrace::read_about(damaged); }).empty();
  }
  expect(read > 100 && read < 4'900, "damaged JSON that could be read: " + std::to_string(read));
}

// Each .npy file of a folder is read: its name and what it holds, or the error. What was read is written as NAME.again.
void npy_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".npy") files.push_back(entry.path());
  for (const auto& file : files) {
    std::string error = error_of([&] { npy::write(file.string() + ".again", npy::read(file)); });
    std::replace(error.begin(), error.end(), '\n', ' ');
    std::cout << file.filename().string() << "\t" << (error.empty() ? "read" : error) << "\n";
  }
}

// A model of two inputs of which the second is added to the first, and one of which the difference is taken.
void two_inputs(const std::string& file) {
  const Model model(file);
  expect(to_string(model.inputs()[0]) == "left: float32[batch, 3]" && model.inputs()[1].shape == millrace::Shape{-1, 3},
         "descriptions of inputs");
  const auto& outputs = model.outputs();
  expect(outputs.size() == 2 && outputs[1].name == "difference" && outputs[1].axes[0] == "batch",
         "descriptions of outputs");
  const Tensor left({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}), right({2, 3}, std::vector<float>{6, 5, 4, 3, 2, 1});
  const std::vector<float> sum{7, 7, 7, 7, 7, 7}, difference{-5, -3, -1, 1, 3, 5};

  const auto ordered = model.predict({left, right});
  expect(ordered[0].values<float>() == sum && ordered[1].values<float>() == difference, "in order");
  const auto named = model.predict({{"right", right}, {"left", left}});
  expect(named.at("sum").values<float>() == sum && named.at("difference").values<float>() == difference, "by name");

  refused([&] { model.predict({left}); }, "takes 2 inputs, 'left', 'right', got 1");
  refused([&] { model.predict(left); }, "2 outputs, 'sum', 'difference'");
  refused([&] { model.predict({{"left", left}}); }, "lacks its input 'right'");
  refused([&] { model.predict({{"left", left}, {"right", right}, {"up", right}}); }, "no input 'up'");
  refused([&] { model.predict({left, Tensor(DType::float32, {1, 3})}); },
          "got float32[1, 3]. 'batch' is 2 in input 'left'");
  refused([&] { model.predict({left, Tensor(DType::float32, {0, 3})}); }, "nothing in it");
  Tensor gone = right;
  const Tensor stolen = std::move(gone);
  refused([&] { model.predict({left, gone}); }, "input 'right' has to be float32[batch, 3]");  // NOLINT: moved from

  millrace::Options negative;
  negative.threads = -1;
  refused([&] { Model(file, negative); }, "threads has to be 0 or more, got -1");
  Model first(file);
  Model second(std::move(first));
  first = std::move(second);
  expect(first.predict({left, right})[0].values<float>() == sum, "a model that was moved");
}

// Eight threads ask one model: each gets what one alone gets.
void threads(const std::string& file, const std::string& input) {
  millrace::Options options;
  options.threads = 1;
  const Model model(file, options);
  const Tensor all = npy::read(input);
  auto shape = all.shape();
  const auto examples = static_cast<std::size_t>(shape[0]);
  const std::size_t each = all.bytes() / examples;
  shape[0] = 1;
  std::vector<Tensor> alone, expected;
  for (std::size_t n = 0; n < examples; ++n) {
    Tensor one(all.dtype(), shape);
    std::copy_n(static_cast<const std::byte*>(all.raw()) + n * each, each, static_cast<std::byte*>(one.raw()));
    expected.push_back(model.predict(one));
    alone.push_back(std::move(one));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> workers;
  for (std::size_t worker = 0; worker < 8; ++worker)
    workers.emplace_back([&, worker] {
      for (std::size_t n = 0; n < 60; ++n) {
        const std::size_t which = (n * 7 + worker) % examples;
        const Tensor answer = model.predict(alone[which]);
        if (answer.values<float>() != expected[which].values<float>()) ++wrong;
      }
    });
  for (auto& worker : workers) worker.join();
  expect(wrong == 0, std::to_string(wrong) + " answers of 480 were mixed up");
  expect(expected.front().values<float>() != expected.back().values<float>(), "the examples differ");
}

}  // namespace

int main(int count, char** given) {
  const std::vector<std::string> arguments(given + 1, given + count);
  const std::string kind = arguments.empty() ? "" : arguments[0];
  if (kind == "alone") tensors(), abouts();
  else if (kind == "npy" && count == 3) npy_files(arguments[1]);
  else if (kind == "two" && count == 3) two_inputs(arguments[1]);
  else if (kind == "threads" && count == 4) threads(arguments[1], arguments[2]);
  else expect(false, "no such kind of test: " + kind);
  if (kind != "npy") std::cout << (failures ? "failed" : "all right") << "\n";
  return failures != 0;
}
