#include "target.h"

#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace fuzz {

namespace fs = std::filesystem;

void Require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

uint8_t Input::Byte() { return static_cast<uint8_t>(Number(1)); }

uint64_t Input::Number(size_t size_bytes) {
  const std::string_view bytes = Bytes(size_bytes);
  uint64_t number = 0;
  for (size_t i = 0; i < bytes.size(); i++) {
    number |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return number;
}

std::string_view Input::Bytes(size_t size_bytes) {
  const std::string_view bytes = rest_.substr(0, size_bytes);
  rest_.remove_prefix(bytes.size());
  return bytes;
}

Scratch::Scratch() {
  std::string pattern = fs::temp_directory_path() / "keystone-fuzz-XXXXXX";
  Require(::mkdtemp(pattern.data()) != nullptr, "a directory can be made");
  path_ = pattern;
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void Scratch::Write(std::string_view name, std::string_view content) const {
  std::ofstream out(File(name), std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  Require(out.good(), "a file can be written");
}

std::string Scratch::Read(std::string_view name) const {
  std::ifstream in(File(name), std::ios::binary);
  Require(in.good(), "a file can be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

bool Scratch::Has(std::string_view name) const { return fs::exists(File(name)); }

void Scratch::RemoveAll(std::string_view suffix) const {
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (entry.path().native().ends_with(suffix)) fs::remove(entry.path());
  }
}

}  // namespace fuzz
