// A directory of a test's own, removed with all that is in it when the object goes.
#ifndef KEYSTONE_TESTS_UNIT_SCRATCH_H_
#define KEYSTONE_TESTS_UNIT_SCRATCH_H_

#include <string>
#include <string_view>

class Scratch {
 public:
  explicit Scratch(const std::string& parent = {});  // empty: where temporary files go
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Whole files, for looking at the disk and for damaging it. The test fails on an error.
  std::string Read(std::string_view name) const;
  void Write(std::string_view name, std::string_view content) const;
  bool Has(std::string_view name) const;

 private:
  std::string path_;
};

#endif  // KEYSTONE_TESTS_UNIT_SCRATCH_H_
