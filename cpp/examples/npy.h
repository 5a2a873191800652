// NumPy's files of one array (.npy), formats 1 to 3.  Source: NumPy, numpy.lib.format.
#pragma once

#include <filesystem>

#include "millrace/tensor.h"

namespace npy {

// Throws millrace::Error for a file that is missing or no such file, and for arrays that a tensor does not hold: in
// Fortran's order, of big-endian numbers, text, objects, or records.
millrace::Tensor read(const std::filesystem::path& file);

// Throws millrace::Error for a file that cannot be written.
void write(const std::filesystem::path& file, const millrace::Tensor& tensor);

}  // namespace npy
