// A reader of GGUF files for tests, written from the format's description, apart from the writer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera::test {

struct WrittenGguf {
  struct Tensor {
    std::vector<std::uint64_t> dimensions;  ///< fastest first
    std::uint32_t type = 0;                 ///< 0: F32, 2: Q4_0, 8: Q8_0, 30: BF16
    std::uint64_t begin = 0;                ///< in `bytes`
    std::uint64_t size = 0;
  };

  std::string bytes;
  std::uint64_t alignment = 32;
  std::map<std::string, std::string> texts;
  std::map<std::string, double> numbers;  ///< integers, floats, booleans
  std::map<std::string, std::vector<std::string>> text_lists;
  std::map<std::string, std::vector<double>> number_lists;
  std::map<std::string, Tensor> tensors;

  /// Stops the test on anything that is not as the format says; the tensors must tile the data, aligned.
  static WrittenGguf read(const std::string& path);
  /// Dequantised.
  std::vector<float> values(const std::string& name) const;
};

}  // namespace tessera::test
