// Where the daemon tells its administrator what happens: syslog, or standard error.
//
// Thread-safe, immutable after construction. Bytes that a client chose must be escaped
// (base/escape.h) before they come here.
#ifndef KEYSTONE_BASE_LOG_H_
#define KEYSTONE_BASE_LOG_H_

#include <syslog.h>

#include <algorithm>

namespace keystone {

// syslog's own numbers, which are also what systemd expects as <N>.
enum class Priority : int {
  kCritical = LOG_CRIT,
  kError = LOG_ERR,
  kWarning = LOG_WARNING,
  kNotice = LOG_NOTICE,
  kInfo = LOG_INFO,
  kDebug = LOG_DEBUG,
};

class Log {
 public:
  enum class Sink {
    kSyslog,         // openlog(3) has been called
    kStderr,         // "PROGRAM: message", by the name it was started by
    kStderrJournal,  // "<N>message", as systemd's journal reads it
  };

  // Lines less important than `threshold` are not written.
  Log(Sink sink, Priority threshold) : sink_(sink), threshold_(threshold) {}

  // The same, but for lines as important as `priority`, too.
  Log Including(Priority priority) const { return {sink_, std::max(threshold_, priority)}; }

  bool Enabled(Priority priority) const { return priority <= threshold_; }

  // Good for handlers of exceptions: memory is asked for only where a line has more than about
  // 1000 bytes. It is cut, and says so, only where there is none.
  void Write(Priority priority, const char* format, ...) const noexcept
      __attribute__((format(printf, 3, 4)));

 private:
  const Sink sink_;
  const Priority threshold_;
};

}  // namespace keystone

#endif  // KEYSTONE_BASE_LOG_H_
