#include "npy.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>

namespace npy {
namespace {

using millrace::DType;
using millrace::Error;
using millrace::Shape;
using millrace::Tensor;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the files are read as they lie in memory, which needs a little-endian processor"
#endif

constexpr std::string_view magic("\x93NUMPY", 6);

struct Kind {
  std::string_view written;
  DType dtype;
};

constexpr Kind kinds[] = {{"<f4", DType::float32}, {"<f8", DType::float64}, {"|i1", DType::int8},
                          {"<i2", DType::int16},   {"<i4", DType::int32},   {"<i8", DType::int64},
                          {"|u1", DType::uint8},   {"<u2", DType::uint16},  {"<u4", DType::uint32},
                          {"<u8", DType::uint64},  {"|b1", DType::boolean}};

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

// The header: a dictionary as Python writes it, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Header header() {
    Header made;
    int seen = 0;
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") made.descr = descr(), seen |= 1;
      else if (key == "fortran_order") made.fortran_order = truth(), seen |= 2;
      else if (key == "shape") made.shape = shape(), seen |= 4;
      else fail();
      if (!take(',') && peek() != '}') fail();
    }
    space();
    if (at_ != text_.size() || seen != 7) fail();
    return made;
  }

 private:
  [[noreturn]] void fail() const { throw Error(file_ + " is no .npy file: its header is damaged."); }

  char peek() {
    space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail();
  }

  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail();
    const std::size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) fail();
    const std::string made(text_.substr(at_, end - at_));
    at_ = end + 1;
    return made;
  }

  std::string descr() {
    if (peek() == '[') throw Error(file_ + " holds records with fields: save each field as an array of its own.");
    return string();
  }

  bool truth() {
    for (const std::string_view word : {"True", "False"}) {
      peek();
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    fail();
  }

  Shape shape() {
    Shape made;
    expect('(');
    while (!take(')')) {
      made.push_back(size());
      if (!take(',') && (peek() != ')' || made.size() < 2)) fail();  // one size is written (3,)
    }
    return made;
  }

  std::int64_t size() {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    peek();
    const std::size_t start = at_;
    std::int64_t made = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const int digit = text_[at_] - '0';
      if (made > (most - digit) / 10) fail();
      made = made * 10 + digit;
    }
    if (at_ == start || (text_[start] == '0' && at_ > start + 1)) fail();
    return made;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  const std::string& file_;
};

std::string whole(const std::filesystem::path& file, const std::string& named) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) throw Error(named + " does not exist.");
  if (std::filesystem::is_directory(file, ignored)) throw Error(named + " is a directory: expected a .npy file.");
  std::ifstream in(file, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  if (!in.is_open() || in.bad()) throw Error(named + " cannot be read.");
  return content;
}

DType dtype_of(const std::string& descr, const std::string& named) {
  const bool one_byte = descr.size() == 3 && descr[2] == '1';  // then the order of bytes means nothing
  const std::string known = one_byte && (descr[0] == '<' || descr[0] == '>') ? "|" + descr.substr(1) : descr;
  for (const Kind& kind : kinds)
    if (kind.written == known) return kind.dtype;
  if (!descr.empty() && descr[0] == '>')
    throw Error(named + " holds big-endian numbers ('" + descr + "'): save x.astype(x.dtype.newbyteorder('<')).");
  throw Error(named + " holds '" + descr + "': expected bool, float32, float64, or integers of 8 to 64 bits.");
}

}  // namespace

Tensor read(const std::filesystem::path& file) {
  const std::string named = "'" + file.string() + "'";
  const std::string content = whole(file, named);
  const std::string_view text(content);
  if (text.substr(0, magic.size()) != magic || text.size() < 10)
    throw Error(named + " is no .npy file: it does not begin as one.");
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3 || text[7] != 0)
    throw Error(named + " has format " + std::to_string(version) + "." +
                std::to_string(static_cast<unsigned char>(text[7])) + ": known are 1.0, 2.0 and 3.0.");
  const std::size_t start = version == 1 ? 10 : 12;
  std::size_t length = 0;
  for (std::size_t n = start; n-- > 8;)
    length = length << 8 | (n < text.size() ? static_cast<unsigned char>(text[n]) : 255u);
  if (text.size() < start || text.size() - start < length) throw Error(named + " ends within its header.");

  const Header header = HeaderReader(text.substr(start, length), named).header();
  const DType dtype = dtype_of(header.descr, named);
  if (header.fortran_order)
    throw Error(named + " is in Fortran's order: save numpy.ascontiguousarray(x).");
  const std::string_view data = text.substr(start + length);

  // What the header says is held against the file before any memory is taken.
  std::size_t expected = millrace::size_of(dtype);
  for (const std::int64_t n : header.shape) {
    if (n == 0) expected = 0;
  }
  for (const std::int64_t n : header.shape) {
    if (expected == 0) break;
    if (static_cast<std::uint64_t>(n) > data.size() / expected)
      throw Error(named + " is cut off: " + millrace::to_string(header.shape) + " needs more than its " +
                  std::to_string(data.size()) + " bytes.");
    expected *= static_cast<std::size_t>(n);
  }
  if (data.size() != expected)
    throw Error(named + " has " + std::to_string(data.size()) + " bytes of data: " + millrace::to_string(dtype) +
                millrace::to_string(header.shape) + " takes " + std::to_string(expected) + ".");
  Tensor made(dtype, header.shape);
  if (dtype == DType::boolean) {
    for (std::size_t n = 0; n < data.size(); ++n) made.data<bool>()[n] = data[n] != 0;  // only 0 and 1 are bools
  } else if (!data.empty()) {
    std::memcpy(made.raw(), data.data(), data.size());
  }
  return made;
}

void write(const std::filesystem::path& file, const Tensor& tensor) {
  std::string_view descr;
  for (const Kind& kind : kinds)
    if (kind.dtype == tensor.dtype()) descr = kind.written;
  std::string header = "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (";
  for (const std::int64_t n : tensor.shape()) header += std::to_string(n) + ", ";
  if (tensor.shape().size() > 1) header.resize(header.size() - 2);
  header += "), }";
  header.append(64 - (10 + header.size() + 1) % 64, ' ');  // the data begin at a multiple of 64 bytes
  header += '\n';
  if (header.size() > 0xFFFF)
    throw Error("the shape " + millrace::to_string(tensor.shape()) + " is too long to be written.");

  std::ofstream out(file, std::ios::binary);
  const char start[] = {1, 0, static_cast<char>(header.size() & 0xFF), static_cast<char>(header.size() >> 8)};
  out.write(magic.data(), static_cast<std::streamsize>(magic.size()));
  out.write(start, sizeof start);
  out << header;
  out.write(static_cast<const char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
  out.close();
  if (!out) throw Error("'" + file.string() + "' cannot be written.");
}

}  // namespace npy
