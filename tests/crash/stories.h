// What the store goes through, recorded: the scenarios whose crash points are visited.
//
// Each is a function that runs the store once, without a crash, and returns its journal. They are
// the same each time, but for the order of what several threads do.
#ifndef KEYSTONE_TESTS_CRASH_STORIES_H_
#define KEYSTONE_TESTS_CRASH_STORIES_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "journal.h"
#include "load.h"
#include "states.h"
#include "store/store.h"

namespace crash {

struct Story {
  keystone::StoreOptions options;
  Journal journal;
  std::vector<Contents> after;  // see Load::after
  size_t from = 0;              // what came before has no crash
  std::string cut{};            // what recovery has cut off a segment
};

Story FirstStart(keystone::FsyncPolicy policy);

// Groups of one and of several operations, several at once, values of several sectors, overwritten
// and deleted keys, a Sync.
Story Append(keystone::FsyncPolicy policy);

// The same in a segment that is big enough to grow by zeros ahead of what is written.
Story AppendToReserve();

// Changes to new segments, and a group that is larger than one.
Story Rotate(keystone::FsyncPolicy policy);

// Two compactions, and a write behind each. Online, groups are committed all the while.
Story Compact(keystone::FsyncPolicy policy, keystone::CompactionMode mode);

// Groups of updates, guards and attributes, several at once, each by what those before it wrote.
Story Update(keystone::FsyncPolicy policy);

// Twice all keys are cleared, with several segments and with one; writes before and behind.
Story Clear(keystone::FsyncPolicy policy);

// Clean stops, with hints, and starts from them.
Story StopAndStart(keystone::FsyncPolicy policy);

// Keys that expire: one that is looked for after its time, one that is written over, some that a
// compaction leaves out, one that is looked for before a clean stop. `after` has them at kBefore,
// whatever the time was when they went.
Story Expire(keystone::FsyncPolicy policy, keystone::CompactionMode mode);
inline constexpr uint64_t kBefore = 1'000'000;  // nothing has expired
inline constexpr uint64_t kBehind = 3'000'000;  // everything that will

// A start from `tree`, which `story` has left, and a clean stop.
Story Recover(const Story& story, const Tree& tree);

// keystone-log repair of `tree`, which is damaged.
Story Repair(const Story& story, const Tree& tree);

// `story` to its event `last`, a kill, a start, and one group more.
Story KillAndGoOn(const Story& story, size_t last);

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_STORIES_H_
