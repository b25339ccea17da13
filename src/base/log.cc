#include "base/log.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <string>

#include "base/file.h"

namespace keystone {

namespace {

std::string Format(const char* format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size < 0) return format;
  std::string text(static_cast<size_t>(size), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  return text;
}

}  // namespace

void Log::Write(Priority priority, const char* format, ...) const {
  if (!Enabled(priority)) return;
  va_list arguments;
  va_start(arguments, format);
  std::string line = Format(format, arguments);
  va_end(arguments);
  if (sink_ == Sink::kSyslog) {
    ::syslog(static_cast<int>(priority), "%s", line.c_str());
    return;
  }
  const std::string prefix = sink_ == Sink::kStderrJournal
                                 ? "<" + std::to_string(static_cast<int>(priority)) + ">"
                                 : "keystoned: ";
  // One write, so that lines of several threads don't mix; nobody is left to tell of a failure.
  (void)WriteAll(STDERR_FILENO, prefix + line + "\n", "stderr");
}

}  // namespace keystone
