// That the crash tests can fail: what a wrong order of calls would do to the journal of each story
// is done to it, and a crash must then break a promise. Left out where sanitizers are slow: it says
// nothing of the store that they could check.
#include <stdio.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "explorer.h"
#include "scratch.h"
#include "stories.h"

// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

using crash::Event;
using crash::Explorer;
using crash::Journal;
using crash::Story;
using keystone::CompactionMode;
using keystone::FsyncPolicy;
using Kind = crash::Event::Kind;

namespace {

Journal Without(Journal journal, size_t event) {
  journal.erase(journal.begin() + static_cast<ptrdiff_t>(event));
  return journal;
}

// The later event comes before the earlier one.
Journal Swapped(Journal journal, size_t earlier, size_t later) {
  const auto begin = journal.begin();
  std::rotate(begin + static_cast<ptrdiff_t>(earlier), begin + static_cast<ptrdiff_t>(later),
              begin + static_cast<ptrdiff_t>(later) + 1);
  return journal;
}

bool IsHint(std::string_view path) { return path.find(".hint") != path.npos; }

// The first event behind `from` that `matches`.
template <class Matches>
std::optional<size_t> Next(const Journal& journal, size_t from, Matches matches) {
  for (size_t i = from + 1; i < journal.size(); i++) {
    if (matches(journal[i])) return i;
  }
  return {};
}

// True where nothing but the names of hints waits for this sync: it has nothing to do, or only for
// what recovery can do without.
bool HasNothingToSync(const Journal& journal, size_t sync) {
  crash::Disk disk;
  for (size_t i = 0; i < sync; i++) disk.Apply(journal[i]);
  const auto waits = disk.WaitsFor(journal[sync].file);
  return std::all_of(waits.begin(), waits.end(),
                     [](const Event& event) { return IsHint(event.path); });
}

// True where the same file is synced again before anything more is promised.
bool IsRepeatedInTime(const Journal& journal, size_t sync) {
  const auto next = Next(journal, sync, [&](const Event& event) {
    return event.kind == Kind::kDurable || event.kind == Kind::kSync
               ? event.kind == Kind::kDurable || event.file == journal[sync].file
               : false;
  });
  return !next || journal[*next].kind == Kind::kSync;
}

// "name of data/.log", say, for a call whose loss would matter; numbers are left out. Hints do not,
// nor does what is only to be removed at the next start.
std::string PurposeOf(const Event& event) {
  if (IsHint(event.path)) return {};
  std::string purpose;
  if (event.kind == Kind::kWrite) purpose = "bytes of " + event.path;
  if (event.kind == Kind::kRename) purpose = "name of " + event.to;
  if (event.kind == Kind::kMakeDirectory) purpose = "name of " + event.path;
  std::erase_if(purpose, [](char c) { return c >= '0' && c <= '9'; });
  return purpose;
}

// What a sync is for.
std::string PurposeOf(const Journal& journal, size_t sync) {
  crash::Disk disk;
  for (size_t i = 0; i < sync; i++) disk.Apply(journal[i]);
  std::set<std::string> purposes;
  for (const Event& event : disk.WaitsFor(journal[sync].file)) purposes.insert(PurposeOf(event));
  std::string all;
  for (const std::string& purpose : purposes) {
    if (!purpose.empty()) all += (all.empty() ? "" : ", ") + purpose;
  }
  return all;
}

}  // namespace

TEST_GROUP(Mutation) {
  Scratch scratch{crash::ScratchParent()};
  std::map<std::string, std::pair<size_t, size_t>> sites;  // how many syncs, how many are missed

  bool IsMissed(Explorer * explorer, const Story& story, const Journal& mutated) {
    return !explorer->Explore(mutated, story.after, story.from).empty();
  }

  void CheckSound(Explorer * explorer, const Story& story) {
    const std::string wrong = explorer->Explore(story.journal, story.after, story.from);
    STRCMP_EQUAL("", wrong.c_str());
  }

  // Each sync is left out in turn. Not every one is missed: another may follow before anything
  // depends on it. But for each purpose there is one that is.
  void LeaveOutSyncs(const std::string& what, const Story& story) {
    Explorer explorer(scratch.path(), story.options);
    CheckSound(&explorer, story);
    const Journal& journal = story.journal;
    for (size_t i = story.from; i < journal.size(); i++) {
      if (journal[i].kind != Kind::kSync || IsHint(journal[i].path)) continue;
      const std::string purpose = PurposeOf(journal, i);
      if (purpose.empty()) continue;
      auto& [all, missed] = sites[what + ": " + purpose];
      all++;
      if (IsMissed(&explorer, story, Without(journal, i))) {
        missed++;
      }
    }
  }

  // Calls mutate(the index of each event that matches); it returns the mutated journal, or nothing.
  template <class Mutate>
  size_t MutateEach(const Story& story, Mutate mutate) {
    Explorer explorer(scratch.path(), story.options);
    CheckSound(&explorer, story);
    size_t mutations = 0;
    for (size_t i = story.from; i < story.journal.size(); i++) {
      const std::optional<Journal> mutated = mutate(story.journal, i);
      if (!mutated) continue;
      mutations++;
      if (!IsMissed(&explorer, story, *mutated)) {
        FAIL(("nobody minds event " + std::to_string(i) + ", " + Describe(story.journal[i]))
                 .c_str());
      }
    }
    return mutations;
  }
};

TEST(Mutation, ASyncIsLeftOut) {
  if (crash::kIsSlow) return;
  LeaveOutSyncs("at work", crash::Append(FsyncPolicy::kAlways));
  LeaveOutSyncs("at work", crash::Append(FsyncPolicy::kEverySecond));
  LeaveOutSyncs("at work", crash::Rotate(FsyncPolicy::kAlways));
  LeaveOutSyncs("at work", crash::Rotate(FsyncPolicy::kNo));
  LeaveOutSyncs("at work", crash::Compact(FsyncPolicy::kNo, CompactionMode::kStopTheWorld));
  LeaveOutSyncs("at work", crash::Compact(FsyncPolicy::kNo, CompactionMode::kOnline));
  LeaveOutSyncs("at work", crash::Clear(FsyncPolicy::kNo));
  LeaveOutSyncs("at work", crash::StopAndStart(FsyncPolicy::kNo));
  const Story story = crash::Compact(FsyncPolicy::kNo, CompactionMode::kStopTheWorld);
  for (size_t i = 0; i < story.journal.size(); i++) {
    const std::string purpose = PurposeOf(story.journal[i]);
    if (purpose != "name of data/MANIFEST" && purpose != "bytes of data/.log") continue;
    LeaveOutSyncs("start after a kill", crash::KillAndGoOn(story, i));
  }
  CHECK(!sites.empty());
  for (const auto& [site, counts] : sites) {
    printf("%s: %zu of %zu syncs are missed\n", site.c_str(), counts.second, counts.first);
    CHECK_TEXT(counts.second > 0, site.c_str());
  }
}

TEST(Mutation, TheDirectoryIsSyncedBeforeARename) {
  if (crash::kIsSlow) return;
  const auto mutate = [](const Journal& journal, size_t i) -> std::optional<Journal> {
    if (journal[i].kind != Kind::kRename || IsHint(journal[i].path)) return {};
    const auto sync = Next(journal, i, [&](const Event& event) {
      return event.kind == Kind::kSync && event.path == crash::ParentOf(journal[i].path);
    });
    if (!sync || IsRepeatedInTime(journal, *sync)) return {};
    return Swapped(journal, i, *sync);
  };
  CHECK(MutateEach(crash::Rotate(FsyncPolicy::kAlways), mutate) > 0);
  CHECK(MutateEach(crash::Compact(FsyncPolicy::kAlways, CompactionMode::kStopTheWorld), mutate) >
        0);
}

// But for the first segment, which nobody looks at before there is a MANIFEST.
TEST(Mutation, AFileIsRenamedBeforeItIsSynced) {
  if (crash::kIsSlow) return;
  const auto mutate = [](const Journal& journal, size_t i) -> std::optional<Journal> {
    if (journal[i].kind != Kind::kSync || IsHint(journal[i].path)) return {};
    if (!journal[i].path.ends_with(".tmp") || journal[i].path.ends_with("1.log.tmp")) return {};
    const auto directory = Next(journal, i, [&](const Event& event) {
      return event.kind == Kind::kSync && event.path == crash::ParentOf(journal[i].path);
    });
    if (!directory) return {};
    Journal mutated = Without(journal, i);
    mutated.insert(mutated.begin() + static_cast<ptrdiff_t>(*directory), journal[i]);
    return mutated;
  };
  CHECK(MutateEach(crash::Rotate(FsyncPolicy::kNo), mutate) > 0);
  CHECK(MutateEach(crash::Compact(FsyncPolicy::kNo, CompactionMode::kOnline), mutate) > 0);
}

TEST(Mutation, AWriteIsAcknowledgedBeforeItIsMade) {
  if (crash::kIsSlow) return;
  const auto mutate = [](const Journal& journal, size_t i) -> std::optional<Journal> {
    if (journal[i].kind != Kind::kWrite || !journal[i].path.ends_with(".log")) return {};
    const auto answer =
        Next(journal, i, [](const Event& e) { return e.kind == Kind::kAcknowledged; });
    return answer ? std::optional(Swapped(journal, i, *answer)) : std::nullopt;
  };
  for (const FsyncPolicy policy : {FsyncPolicy::kAlways, FsyncPolicy::kNo}) {
    CHECK(MutateEach(crash::Append(policy), mutate) > 0);
    CHECK(MutateEach(crash::Rotate(policy), mutate) > 0);
    CHECK(MutateEach(crash::Update(policy), mutate) > 0);
  }
}

TEST(Mutation, AWriteIsAcknowledgedBeforeItIsSynced) {
  if (crash::kIsSlow) return;
  const auto mutate = [](const Journal& journal, size_t i) -> std::optional<Journal> {
    if (journal[i].kind != Kind::kSync || HasNothingToSync(journal, i)) return {};
    const auto answer = Next(journal, i, [](const Event& e) { return e.kind == Kind::kDurable; });
    if (!answer || !journal[i].path.ends_with(".log")) return {};
    return Swapped(journal, i, *answer);
  };
  CHECK(MutateEach(crash::Append(FsyncPolicy::kAlways), mutate) > 0);
  CHECK(MutateEach(crash::Append(FsyncPolicy::kEverySecond), mutate) > 0);
}
