// What the fuzz targets share: their entry point, the input taken apart, checks, and files.
//
// A target is one program: its .cc defines LLVMFuzzerTestOneInput, and either libFuzzer (configure
// --enable-fuzzers) or driver.cc, which runs a corpus once, calls that. It may neither crash nor
// hang, whatever the bytes are, and no Require in it may fail. One thread at a time.
#ifndef KEYSTONE_TESTS_FUZZ_TARGET_H_
#define KEYSTONE_TESTS_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace fuzz {

// Aborts, after a line on standard error, where what has to hold does not.
void Require(bool holds, std::string_view what);

// The input, taken from its front. What is not there any more is zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  uint8_t Byte();
  uint64_t Number(size_t size_bytes);  // little-endian, 8 at most
  std::string_view Bytes(size_t size_bytes);
  std::string_view Rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// A directory that only its owner may use, below $TMPDIR; goes with all that is in it.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }
  void Write(std::string_view name, std::string_view content) const;
  std::string Read(std::string_view name) const;
  bool Has(std::string_view name) const;
  void RemoveAll(std::string_view suffix) const;  // files whose name ends so

 private:
  std::string path_;
};

}  // namespace fuzz

#endif  // KEYSTONE_TESTS_FUZZ_TARGET_H_
