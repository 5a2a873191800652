#include "runtime.h"

#include <cstdlib>
#include <memory>
#include <vector>

#include "millrace/model.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#ifndef MILLRACE_ONNXRUNTIME
#define MILLRACE_ONNXRUNTIME ""  // the library that was there when this was built
#endif

namespace millrace {
namespace {

constexpr std::uint32_t interface_version = 16;  // ONNX Runtime 1.16 and all newer ones give it
constexpr const char* variable = "MILLRACE_ONNXRUNTIME";
#if defined(_WIN32)
constexpr const char* names[] = {"onnxruntime.dll"};
#elif defined(__APPLE__)
constexpr const char* names[] = {"libonnxruntime.dylib", "@rpath/libonnxruntime.dylib"};
#else
constexpr const char* names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif

struct Base {
  void* const*(MILLRACE_ORT_CALL* GetApi)(std::uint32_t version);
  const char*(MILLRACE_ORT_CALL* GetVersionString)();
};
using GetBase = const Base*(MILLRACE_ORT_CALL*)();

#ifdef _WIN32
GetBase door(const std::string& file, std::string& why) {
  const HMODULE library = LoadLibraryA(file.c_str());
  if (!library) why = "error " + std::to_string(GetLastError());
  return library ? reinterpret_cast<GetBase>(reinterpret_cast<void*>(GetProcAddress(library, "OrtGetApiBase")))
                 : nullptr;
}
#else
GetBase door(const std::string& file, std::string& why) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* found = library ? dlsym(library, "OrtGetApiBase") : nullptr;
  if (!found) {
    const char* said = dlerror();
    why = said ? said : "it has no OrtGetApiBase";
  }
  return reinterpret_cast<GetBase>(found);
}
#endif

// Where to look: only where the environment says, else where one was when this was built, then as the system does.
std::vector<std::string> places() {
  const char* given = std::getenv(variable);
  if (given && *given) return {given};
  std::vector<std::string> found;
  if (*MILLRACE_ONNXRUNTIME) found.emplace_back(MILLRACE_ONNXRUNTIME);
  found.insert(found.end(), std::begin(names), std::end(names));
  return found;
}

std::unique_ptr<Runtime> loaded() {
  std::string failures;
  for (const std::string& file : places()) {
    std::string why;
    const GetBase get = door(file, why);
    const Base* base = get ? get() : nullptr;
    void* const* table = base ? base->GetApi(interface_version) : nullptr;
    if (!table) {
      if (base) why = "it is version " + std::string(base->GetVersionString());
      failures += "\n  " + file + ": " + why;
      continue;
    }
    auto found = std::make_unique<Runtime>();
#define X(place, name, result, arguments) found->name = reinterpret_cast<decltype(found->name)>(table[place]);
    MILLRACE_ORT_FUNCTIONS(X)
#undef X
    found->version = base->GetVersionString();
    constexpr int errors = 3, arena = 1, plain = 0;  // OrtLoggingLevel, OrtAllocatorType, OrtMemType
    const std::string what = "ONNX Runtime " + found->version + " does not start";
    found->check(found->CreateEnv(errors, "millrace", &found->environment), what);
    found->check(found->GetAllocatorWithDefaultOptions(&found->allocator), what);
    found->check(found->CreateCpuMemoryInfo(arena, plain, &found->memory), what);
    return found;
  }
  throw Error("ONNX Runtime 1." + std::to_string(interface_version) + " or newer was not found. Name its library in " +
              variable + ", such as the one in Python's package onnxruntime (capi/). Tried:" + failures);
}

}  // namespace

void Runtime::check(OrtStatus* status, const std::string& what) const {
  if (!status) return;
  std::string why = GetErrorMessage(status);
  ReleaseStatus(status);
  while (!why.empty() && why.back() == '\n') why.pop_back();
  throw Error(what + ": " + why);
}

const Runtime& runtime() {
  // Never taken down: models may be used by other threads until the process ends.
  static const Runtime* const only = loaded().release();
  return *only;
}

std::string runtime_version() { return runtime().version; }

}  // namespace millrace
