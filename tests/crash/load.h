// A client that remembers: it gives groups to a store, marks in the journal what it was promised,
// and knows what the store holds after each group.
//
// One thread at a time.
#ifndef KEYSTONE_TESTS_CRASH_LOAD_H_
#define KEYSTONE_TESTS_CRASH_LOAD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/batch.h"
#include "store/store.h"
#include "store/update.h"

namespace crash {

// Of a key that expires, "value@time".
using Contents = std::map<std::string, std::string>;

struct Change {
  std::string key;
  std::optional<std::string> value;  // none: delete it
  uint64_t expires_at_ms = 0;        // 0: never
  bool appends = false;              // `value`, to what the key holds
  uint32_t guards = 0;               // not 0: where the key is there, so many behind it are skipped
};
using Group = std::vector<Change>;

// "a=1 b=2@9000 -c": an operation a word; a value "x*1000" is repeated so many times, one with "@"
// expires then. "a+=1" appends to what "a" holds, "!a*2" guards the next two.
Group MakeGroup(std::string_view text);

// As operations; those that depend on what is held are kept in `updates`.
using Updates = std::vector<std::unique_ptr<keystone::Update>>;
void Fill(const Group& group, keystone::Batch* batch, Updates* updates);

void Run(const Group& group, Contents* contents);

// "'a' is lost", say; empty where they are the same.
std::string Difference(const Contents& found, const Contents& expected);

// What is left of it at that time.
Contents At(uint64_t now_ms, const Contents& contents);

keystone::Log Quiet();

keystone::Result<Contents> ReadAll(keystone::Store* store);

class Load {
 public:
  explicit Load(keystone::FsyncPolicy policy) : policy_(policy) {}

  // Groups in the order of the log, committed together.
  keystone::Status Apply(keystone::Store* store, const std::vector<std::string>& groups);

  // A group that the store commits by itself, at any time from now on; and that it has.
  void Foresee(std::string_view group);
  void Seen();

  keystone::Status Sync(keystone::Store* store);
  keystone::Status Clear(keystone::Store* store);
  keystone::Status Compact(keystone::Store* store, keystone::CompactionMode mode);
  keystone::Status Close(keystone::Store* store);

  // Goes on with a store that was opened and holds after.back().
  void Resume(std::vector<Contents> after);

  // after()[n]: what a store holds after n groups.
  const std::vector<Contents>& after() const { return after_; }
  const Contents& now() const { return after_.back(); }

 private:
  void Acknowledge();

  const keystone::FsyncPolicy policy_;
  std::vector<Contents> after_{Contents()};
};

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_LOAD_H_
