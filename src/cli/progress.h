// A progress bar on standard error for people who watch; silent where it is not a terminal.
//
// Not thread-safe. Write other lines to the terminal only after Clear.
#ifndef KEYSTONE_CLI_PROGRESS_H_
#define KEYSTONE_CLI_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace keystone {

class Progress {
 public:
  enum class Unit { kBytes, kEntries };

  // `total` 0: not known, so there is neither a bar nor a percentage.
  Progress(Unit unit, uint64_t total, bool visible);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws at most ten times a second.
  void Update(uint64_t done);
  // Removes what was drawn.
  void Clear();

 private:
  std::string Line(uint64_t done, double seconds) const;

  const Unit unit_;
  const uint64_t total_;
  const bool visible_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point next_draw_;
  bool drawn_ = false;
};

}  // namespace keystone

#endif  // KEYSTONE_CLI_PROGRESS_H_
