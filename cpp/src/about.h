// What Millrace says of a model in its file: JSON, of which names are read here.
#pragma once

#include <string>
#include <vector>

namespace millrace {

struct About {
  std::string name;                  // "" if it is not said
  std::vector<std::string> classes;  // what the answers are called
};

// Throws Error for text that is no JSON object. A name or classes of another kind are passed over, as in Python.
About read_about(const std::string& json);

}  // namespace millrace
