// The outcome of a fallible operation: a code that programs act on and a message that people read.
//
// A message names operation, object and reason, once: "append 000000000007.log: No space left on
// device". Values, not references: safe to pass between threads. kOk and kNotFound carry no
// message, so they allocate nothing.
#ifndef KEYSTONE_BASE_STATUS_H_
#define KEYSTONE_BASE_STATUS_H_

#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace keystone {

enum class Code : uint8_t {
  kOk,
  kNotFound,    // no such key, or a file that may be missing
  kInvalid,     // an argument that can't be used
  kBusy,        // the same operation is under way
  kCancelled,   // stopped on request before it took effect
  kReadOnly,    // the store takes no writes any more
  kNoSpace,     // disk full, or over quota
  kFileLimit,   // over a limit on the size of files (RLIMIT_FSIZE), or the file system's
  kIo,          // any other I/O error
  kCorrupt,     // bytes on disk that are not what was written
  kRunning,     // another daemon holds the lock or the address
  kCantCreate,  // a file or directory can't be made
  kPermission,  // not allowed, or ownership that can't be trusted
  kConfig,      // a bad configuration file
  kUsage,       // a bad command line
  kSystem,      // out of memory, threads, processes, descriptors or segments
};

class [[nodiscard]] Status {
 public:
  Status() = default;  // kOk
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  static Status NotFound() { return {Code::kNotFound, {}}; }
  static Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }
  // "operation object: strerror(error)"; the code follows from `error`. Never throws: where memory
  // runs out, "error 5" has to do.
  static Status FromErrno(std::string_view operation, std::string_view object, int error);
  // So short that it takes none.
  static Status OutOfMemory(Code code = Code::kSystem) { return {code, "out of memory"}; }

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same message under another code, for a caller that knows better what it means.
  Status As(Code code) const { return {code, message_}; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// What `work` returns; OutOfMemory where it runs out of it.
template <class Work>
Status UnlessOutOfMemory(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Status::OutOfMemory();
  }
}

// A value, or why there is none. value() may only be called when ok().
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT: implicit by design
  Result(Status status) : state_(std::move(status)) {}  // NOLINT: implicit by design

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }
  T& value() { return std::get<T>(state_); }
  const T& value() const { return std::get<T>(state_); }

 private:
  std::variant<Status, T> state_;
};

// The exit code of sysexits.h for a program that ends with `code`.
int ExitCode(Code code);

}  // namespace keystone

#endif  // KEYSTONE_BASE_STATUS_H_
