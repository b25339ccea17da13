#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace keystone {

namespace {

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

// A line with its end, "\n\0": on the stack, or on the heap where it is long.
class Line {
 public:
  Line(const char* prefix, const char* format, va_list arguments) {
    size_ = Put(std::snprintf(text_, capacity_, "%s", prefix));
    va_list again;
    va_copy(again, arguments);
    const int size = std::vsnprintf(text_ + size_, capacity_ - size_, format, again);
    va_end(again);
    const size_t needed = size_ + Put(size) + kEnd.size() + 1;
    if (needed <= capacity_) {
      size_ += Put(size);
    } else if (Grow(prefix, needed)) {
      size_ += Put(std::vsnprintf(text_ + size_, capacity_ - size_, format, arguments));
    } else {
      size_ = capacity_ - 1 - kEnd.size() - kCut.size();
      Append(kCut);
    }
    Append(kEnd);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  const char* text() const { return text_; }
  size_t size() const { return size_; }

 private:
  static constexpr std::string_view kEnd = "\n";
  static constexpr std::string_view kCut = "... (cut: out of memory)";

  static size_t Put(int size) { return size < 0 ? 0 : static_cast<size_t>(size); }

  bool Grow(const char* prefix, size_t capacity) {
    heap_.reset(static_cast<char*>(std::malloc(capacity)));
    if (!heap_) return false;
    text_ = heap_.get();
    capacity_ = capacity;
    size_ = Put(std::snprintf(text_, capacity_, "%s", prefix));
    return true;
  }

  void Append(std::string_view bytes) {
    *std::copy(bytes.begin(), bytes.end(), text_ + size_) = '\0';
    size_ += bytes.size();
  }

  std::array<char, 1024> stack_;
  std::unique_ptr<char, Free> heap_;
  char* text_ = stack_.data();
  size_t capacity_ = stack_.size();
  size_t size_ = 0;
};

}  // namespace

void Log::Write(Priority priority, const char* format, ...) const noexcept {
  if (!Enabled(priority)) return;
  std::array<char, 64> prefix{};
  if (sink_ == Sink::kStderr) {
    std::snprintf(prefix.data(), prefix.size(), "%.40s: ", program_invocation_short_name);
  }
  if (sink_ == Sink::kStderrJournal) {
    std::snprintf(prefix.data(), prefix.size(), "<%d>", static_cast<int>(priority));
  }
  va_list arguments;
  va_start(arguments, format);
  const Line line(prefix.data(), format, arguments);
  va_end(arguments);
  if (sink_ == Sink::kSyslog) {
    const auto size = static_cast<int>(line.size() - 1);  // it ends lines itself
    ::syslog(static_cast<int>(priority), "%.*s", size, line.text());
    return;
  }
  // One write, so that lines of several threads don't mix; nobody is left to tell of a failure.
  for (size_t written = 0; written < line.size();) {
    const ssize_t size = ::write(STDERR_FILENO, line.text() + written, line.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    written += static_cast<size_t>(size);
  }
}

}  // namespace keystone
