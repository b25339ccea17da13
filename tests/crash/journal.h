// What a program did to the files of a directory, call by call, with marks of what it was promised
// meanwhile.
//
// Plain data. A file is known by a number of its own, so that it stays the same under another name;
// paths are relative to the directory that is watched, which is file 0 and has the path "".
#ifndef KEYSTONE_TESTS_CRASH_JOURNAL_H_
#define KEYSTONE_TESTS_CRASH_JOURNAL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace crash {

inline constexpr int kRoot = 0;

struct Event {
  enum class Kind {
    kMakeDirectory,
    kCreate,
    kWrite,
    kResize,
    kSync,  // of a file's bytes and size, or of a directory's entries
    kRename,
    kUnlink,
    // Marks; `number` groups in the order of the log have been
    kSubmitted,     // given to the store
    kAcknowledged,  // answered with success
    kDurable,       // promised to survive a power cut
  };

  Kind kind;
  int file = kRoot;
  std::string path{};   // of the file when it happened
  std::string to{};     // kRename
  uint64_t number = 0;  // kWrite: offset; kResize: bytes; a mark's groups
  std::string bytes{};  // kWrite

  bool is_mark() const { return kind >= Kind::kSubmitted; }
};

using Journal = std::vector<Event>;

inline bool IsSync(const Event& event) { return event.kind == Event::Kind::kSync; }

// The first `count` events.
inline Journal Prefix(const Journal& journal, size_t count) {
  return {journal.begin(), journal.begin() + static_cast<ptrdiff_t>(count)};
}

// "fsync data/MANIFEST.tmp", for people.
std::string Describe(const Event& event);

inline std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

// Which file has which name.
class Names {
 public:
  void Apply(const Event& event);
  int Find(std::string_view path) const;  // -1: there is none
  int unused() const { return unused_; }  // a number that no file has had

 private:
  std::map<std::string, int, std::less<>> files_{{"", kRoot}};
  int unused_ = kRoot + 1;
};

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_JOURNAL_H_
