// What a power cut may leave of the files.
//
// The model is that of a file system that promises what POSIX does and no more, as in ALICE (Pillai
// and others, All File Systems Are Not Created Equal, 2014), and as SQLite's crash tests and
// LevelDB's fault_injection_test assume:
//
// - fsync and fdatasync of a file make its bytes and its size durable, not its name.
// - fsync of a directory makes its entries durable, not what is in the files.
// - Each write, change of size, creation, rename and removal since is kept or lost, whatever became
//   of the others. A write may also be torn: 512-byte sectors of it are lost, which read as they
//   did before, or as zeros; and it may have got the file its size without a single byte. A rename
//   is atomic.
//
// Where up to 6 calls are not synced, all subsets of them are tried; where there are more: all,
// none, each one alone kept, each one alone lost, and all up to each one. Each write is torn in
// several ways, with the other calls kept, lost, and kept as far as they came before it.
#ifndef KEYSTONE_TESTS_CRASH_STATES_H_
#define KEYSTONE_TESTS_CRASH_STATES_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "journal.h"

namespace crash {

// A directory's files, by their paths; without a value: a directory.
using Tree = std::map<std::string, std::optional<std::string>>;

// The journal of how these files came to be, all of them on stable storage.
Journal SyncedJournal(const Tree& tree);

// What became of one call that was not synced.
struct Fate {
  bool kept = true;
  // Of a write: these bytes of the file are lost all the same.
  uint64_t lost_from = 0;
  uint64_t lost_to = 0;
  bool short_size = false;  // and the file ends where they begin

  bool is_torn() const { return lost_to > lost_from; }
};
using Fates = std::vector<Fate>;

// The disk at one point of a journal.
class Disk {
 public:
  void Apply(const Event& event);

  // Calls visit(fates of unsynced(), all writes that were kept are whole) for each possible state;
  // stops where it returns false.
  using Visitor = std::function<bool(const Fates&)>;
  void ForEachPowerCut(const Visitor& visit) const;

  // The same for a process that is killed: all calls are kept, but the last one may have been cut
  // short.
  void ForEachKill(const Visitor& visit) const;

  Tree Build(const Fates& fates) const;
  Tree BuildAll() const { return Build(Fates(unsynced_.size())); }

  // What a sync of this file would make durable.
  Journal WaitsFor(int file) const;

  // What became of each call, for people.
  std::string Describe(const Fates& fates) const;

 private:
  struct File {
    bool is_directory = false;
    std::string bytes;
    std::map<std::string, int> entries;  // by path
  };
  using Files = std::map<int, File>;

  int Owner(const Event& event) const;
  std::vector<Fate> WaysToTear(const Event& event) const;
  static void Put(const Event& event, int owner, const Fate& fate, Files* files);
  static void Add(const Files& files, int directory, Tree* tree);

  struct Unsynced {
    Event event;
    int owner;  // the file whose sync makes it durable
  };

  Files durable_{{kRoot, {.is_directory = true, .bytes = {}, .entries = {}}}};
  std::vector<Unsynced> unsynced_;
  bool last_is_write_ = false;  // of unsynced_
  Names names_;
};

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_STATES_H_
