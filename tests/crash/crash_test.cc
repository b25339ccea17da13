// Every crash point of what the store does.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "clock.h"
#include "explorer.h"
#include "scratch.h"
#include "stories.h"

// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

using crash::Contents;
using crash::Explorer;
using crash::Story;
using crash::Tree;
using keystone::CompactionMode;
using keystone::FsyncPolicy;

namespace {

constexpr FsyncPolicy kPolicies[] = {FsyncPolicy::kAlways, FsyncPolicy::kEverySecond,
                                     FsyncPolicy::kNo};

constexpr char kManifest[] = "data/MANIFEST";

// What the end of a story leaves.
Tree End(const Story& story) {
  crash::Disk disk;
  for (const crash::Event& event : story.journal) disk.Apply(event);
  return disk.BuildAll();
}

// The paths of segments, in order.
std::vector<std::string> Segments(const Tree& tree) {
  std::vector<std::string> paths;
  for (const auto& [path, bytes] : tree) {
    if (path.ends_with(".log")) paths.push_back(path);
  }
  return paths;
}

// Of so many crashes another crash is to follow: a sample, unless all are asked for.
size_t Stride(size_t count) {
  constexpr size_t kSample = crash::kIsSlow ? 4 : 16;
  return ::getenv("KEYSTONE_TEST_ALL_CRASHES") != nullptr ? 1 : count / kSample + 1;
}

}  // namespace

TEST_GROUP(Crash) {
  Scratch scratch{crash::ScratchParent()};

  void teardown() override { crash::SetTime(0); }

  void Visit(Explorer * explorer, const Story& story) {
    const std::string wrong = explorer->Explore(story.journal, story.after, story.from);
    if (!wrong.empty()) FAIL(wrong.c_str());
  }

  void VisitAll(const char* what, const Story& story) {
    Explorer explorer(scratch.path(), story.options);
    Visit(&explorer, story);
    explorer.counts().Print(what);
  }

  // Starts after the time of all that expires: what they show to be gone, no start brings back that
  // finds an earlier one.
  void VisitExpired(const Story& story) {
    Explorer explorer(scratch.path(), story.options);
    explorer.AlsoCheck([&](const Tree&, const std::string& directory) -> std::string {
      crash::SetTime(crash::kBefore);
      keystone::StoreOptions options = story.options;
      options.directory = directory;
      auto store = keystone::Store::Open(options, crash::Quiet());
      if (!store.ok()) return store.status().message();
      const auto found = crash::ReadAll(store.value().get());
      crash::SetTime(crash::kBehind);
      if (!found.ok()) return found.status().message();
      return crash::Difference(found.value(), crash::At(crash::kBehind, found.value()));
    });
    crash::SetTime(crash::kBehind);
    Visit(&explorer, story);
    explorer.counts().Print("expire");
  }

  // All that crashes in `story` leave.
  std::vector<Tree> StatesOf(const Story& story) {
    std::vector<Tree> states;
    Explorer explorer(scratch.path(), story.options);
    explorer.AlsoCheck([&](const Tree& tree, const std::string&) {
      states.push_back(tree);
      return "";
    });
    Visit(&explorer, story);
    return states;
  }

  void VisitRecoveries(const char* what, const Story& story) {
    const std::vector<Tree> states = StatesOf(story);
    Explorer explorer(scratch.path(), story.options);
    std::string cut;
    explorer.AlsoCheck([&](const Tree&, const std::string& directory) {
      // Cut again after a crash, it is there twice.
      return crash::CutBytes(directory).find(cut) == cut.npos ? "bytes that were cut off are lost"
                                                              : "";
    });
    for (size_t i = 0; i < states.size(); i += Stride(states.size())) {
      const Story recovery = crash::Recover(story, states[i]);
      cut = recovery.cut;
      Visit(&explorer, recovery);
    }
    explorer.counts().Print(what);
  }

  // The damage is one byte. Nothing of the damaged file may be lost, whatever a repair made of it.
  void VisitRepair(const Story& story, const std::string& path, size_t offset) {
    Tree tree = End(story);
    std::string& bytes = *tree.at(path);
    bytes.at(offset) = static_cast<char>(bytes[offset] ^ 0x55);
    Explorer explorer(scratch.path(), story.options);
    explorer.RepairFirst();
    explorer.AlsoCheck([&](const Tree&, const std::string& directory) {
      for (const auto& [name, content] : crash::ReadTree(directory)) {
        if (content == bytes) return "";
      }
      return "the damaged bytes are lost";
    });
    Story repair = crash::Repair(story, tree);
    Visit(&explorer, repair);
    explorer.counts().Print(("repair of " + path).c_str());

    // And were it to sync nothing, that would be seen.
    repair.journal.erase(
        std::remove_if(repair.journal.begin() + static_cast<ptrdiff_t>(repair.from),
                       repair.journal.end(), crash::IsSync),
        repair.journal.end());
    CHECK_FALSE(explorer.Explore(repair.journal, repair.after, repair.from).empty());
  }

  void VisitKills(const char* what, const Story& story) {
    Explorer explorer(scratch.path(), story.options);
    for (size_t i = 0; i < story.journal.size(); i += Stride(story.journal.size())) {
      Visit(&explorer, crash::KillAndGoOn(story, i));
    }
    explorer.counts().Print(what);
  }
};

TEST(Crash, FirstStart) { VisitAll("first start", crash::FirstStart(FsyncPolicy::kAlways)); }

TEST(Crash, Append) {
  for (const FsyncPolicy policy : kPolicies) VisitAll("append", crash::Append(policy));
}

TEST(Crash, AppendToReserve) { VisitAll("append to reserve", crash::AppendToReserve()); }

TEST(Crash, Rotate) {
  for (const FsyncPolicy policy : kPolicies) VisitAll("rotate", crash::Rotate(policy));
}

TEST(Crash, CompactWhileTheWorldStands) {
  for (const FsyncPolicy policy : kPolicies) {
    VisitAll("compact", crash::Compact(policy, CompactionMode::kStopTheWorld));
  }
}

TEST(Crash, CompactOnline) {
  for (const FsyncPolicy policy : kPolicies) {
    VisitAll("compact online", crash::Compact(policy, CompactionMode::kOnline));
  }
}

TEST(Crash, Update) {
  for (const FsyncPolicy policy : kPolicies) VisitAll("update", crash::Update(policy));
}

TEST(Crash, Clear) {
  for (const FsyncPolicy policy : kPolicies) VisitAll("clear", crash::Clear(policy));
}

TEST(Crash, StopAndStart) {
  for (const FsyncPolicy policy : kPolicies) VisitAll("stop, start", crash::StopAndStart(policy));
}

// Whatever time a start finds. What was dropped, or shown to be gone and deleted, is not back even
// by a clock from before.
TEST(Crash, Expire) {
  for (const FsyncPolicy policy : kPolicies) {
    for (const CompactionMode mode : {CompactionMode::kStopTheWorld, CompactionMode::kOnline}) {
      Story story = crash::Expire(policy, mode);
      crash::SetTime(crash::kBefore);
      VisitAll("expire, the clock set back", story);
      for (Contents& contents : story.after) contents = crash::At(crash::kBehind, contents);
      VisitExpired(story);
    }
  }
}

TEST(Crash, Recovery) {
  VisitRecoveries("recovery", crash::FirstStart(FsyncPolicy::kNo));
  VisitRecoveries("recovery", crash::Append(FsyncPolicy::kNo));
  VisitRecoveries("recovery", crash::Rotate(FsyncPolicy::kNo));
}

TEST(Crash, Repair) {
  constexpr size_t kInBody = 300;
  constexpr size_t kInHeader = 64 + 10;  // of the first record
  const Story story = crash::Rotate(FsyncPolicy::kNo);
  const std::vector<std::string> segments = Segments(End(story));
  CHECK_TRUE(segments.size() > 3);
  VisitRepair(story, segments[0], kInBody);
  VisitRepair(story, segments[1], kInHeader);
  VisitRepair(story, kManifest, 20);
}

TEST(Crash, KillThenPowerCut) {
  VisitKills("kill, start, power cut", crash::Append(FsyncPolicy::kAlways));
  VisitKills("kill, start, power cut", crash::Rotate(FsyncPolicy::kAlways));
  VisitKills("kill, start, power cut", crash::Clear(FsyncPolicy::kAlways));
  VisitKills("kill, start, power cut",
             crash::Compact(FsyncPolicy::kAlways, CompactionMode::kOnline));
}
