#include "about.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "millrace/tensor.h"

namespace millrace {
namespace {

// JSON as RFC 8259 has it, and the three numbers that Python writes beyond it.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // `value` reads what stands under each key.
  template <class Value>
  void object(Value value) {
    expect('{');
    if (take('}')) return;
    do {
      space();
      const std::string key = string();
      expect(':');
      value(key);
    } while (take(','));
    expect('}');
  }

  template <class Item>
  void array(Item item) {
    expect('[');
    if (take(']')) return;
    do item();
    while (take(','));
    expect(']');
  }

  std::string string() {
    expect('"');
    std::string made;
    while (true) {
      const char c = next();
      if (c == '"') return made;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (c == '\\') escape(made);
      else made += c;
    }
  }

  // Any value, passed over.
  void skip(int depth = 0) {
    if (depth > 100) fail("more than 100 levels");
    space();
    switch (peek()) {
      case '{': return object([&](const std::string&) { skip(depth + 1); });
      case '[': return array([&] { skip(depth + 1); });
      case '"': return static_cast<void>(string());
      default: return word();
    }
  }

  // Whether this begins what comes next.
  bool at(char c) {
    space();
    return peek() == c;
  }

  void end() {
    space();
    if (at_ != text_.size()) fail("something after the end");
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw Error("no JSON: " + why + " at character " + std::to_string(at_) + ".");
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  char next() {
    if (at_ == text_.size()) fail("it ends too early");
    return text_[at_++];
  }

  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  bool take(char c) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(std::string("no ") + c);
  }

  // true, false, null, or a number.
  void word() {
    for (const std::string_view known : {"true", "false", "null", "NaN", "Infinity", "-Infinity"}) {
      if (text_.substr(at_, known.size()) == known) {
        at_ += known.size();
        return;
      }
    }
    if (peek() == '-') ++at_;
    if (peek() == '0') ++at_;
    else digits();
    if (peek() == '.') {
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
  }

  void digits() {
    const std::size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    if (at_ == start) fail("no value");
  }

  void escape(std::string& made) {
    const char c = next();
    constexpr std::string_view names = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    if (c == 'u') return utf8(made, character());
    const std::size_t found = names.find(c);
    if (found == std::string_view::npos) fail("an unknown escape");
    made += meant[found];
  }

  // After \u: four digits, and the second half of a pair if there has to be one.
  std::uint32_t character() {
    const std::uint32_t first = four();
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || next() != '\\' || next() != 'u') fail("half a character");
    const std::uint32_t second = four();
    if (second < 0xDC00 || second > 0xDFFF) fail("half a character");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  std::uint32_t four() {
    std::uint32_t made = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = next();
      made <<= 4;
      if (c >= '0' && c <= '9') made += static_cast<std::uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f') made += static_cast<std::uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F') made += static_cast<std::uint32_t>(c - 'A' + 10);
      else fail("no hexadecimal digit");
    }
    return made;
  }

  static void utf8(std::string& made, std::uint32_t c) {
    const auto put = [&](std::uint32_t byte) { made += static_cast<char>(byte); };
    const auto rest = [&](int shift) { put(0x80 | ((c >> shift) & 0x3F)); };
    if (c < 0x80) return put(c);
    if (c < 0x800) return put(0xC0 | (c >> 6)), rest(0);
    if (c < 0x10000) return put(0xE0 | (c >> 12)), rest(6), rest(0);
    put(0xF0 | (c >> 18)), rest(12), rest(6), rest(0);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

About read_about(const std::string& json) {
  About about;
  Reader reader(json);
  reader.object([&](const std::string& key) {
    if (key == "name" && reader.at('"')) {
      about.name = reader.string();
    } else if (key == "classes" && reader.at('[')) {
      std::vector<std::string> classes;
      bool strings = true;
      reader.array([&] {
        if (reader.at('"')) classes.push_back(reader.string());
        else reader.skip(), strings = false;
      });
      about.classes = strings ? std::move(classes) : std::vector<std::string>();
    } else {
      reader.skip();
    }
  });
  reader.end();
  return about;
}

}  // namespace millrace
