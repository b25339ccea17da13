#include "scratch.h"

#include <CppUTest/TestHarness.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

Scratch::Scratch(const std::string& parent) {
  const std::filesystem::path where =
      parent.empty() ? std::filesystem::temp_directory_path() : std::filesystem::path(parent);
  std::string pattern = where / "keystone-unit-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) FAIL("mkdtemp failed");
  path_ = pattern;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Scratch::Read(std::string_view name) const {
  std::ifstream in(File(name), std::ios::binary | std::ios::ate);
  CHECK_TRUE(in.good());
  std::string content(static_cast<size_t>(in.tellg()), '\0');
  in.seekg(0);
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  CHECK_TRUE(in.good());
  return content;
}

void Scratch::Write(std::string_view name, std::string_view content) const {
  std::ofstream out(File(name), std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  CHECK_TRUE(out.good());
}

bool Scratch::Has(std::string_view name) const { return std::filesystem::exists(File(name)); }
