// Runs a target once over each file that it is given, or over its corpus in the tree: what every
// compiler and sanitizer can do, and make check does.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "target.h"

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> FilesIn(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

void Run(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  fuzz::Require(in.good(), "the input can be read: " + path.string());
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  // The last line of the log where the target crashes.
  std::printf("%s\n", path.filename().c_str());
  std::fflush(stdout);
  // A copy of exactly that size, so that the address sanitizer sees a read behind its end.
  const std::vector<uint8_t> input(bytes.begin(), bytes.end());
  (void)LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<fs::path> paths(argv + 1, argv + argc);
  if (paths.empty()) {
    const char* top = std::getenv("srcdir");
    const fs::path corpora = fs::path(top == nullptr ? "." : top) / "tests/fuzz/corpus";
    paths.push_back(corpora / fs::path(argv[0]).filename());
  }
  size_t count = 0;
  for (const fs::path& path : paths) {
    for (const fs::path& file : FilesIn(path)) {
      Run(file);
      count++;
    }
  }
  fuzz::Require(count > 0, "there are inputs");
  // As contrib/test-summary counts: a target is a test.
  std::printf("OK (%zu inputs, 1 ran, 0 ignored)\n", count);
}
