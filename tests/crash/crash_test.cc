// Every crash point of what the store does.
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "explorer.h"
#include "scratch.h"
#include "stories.h"

// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

using crash::Explorer;
using crash::Story;
using crash::Tree;
using keystone::CompactionMode;
using keystone::FsyncPolicy;

namespace {

constexpr FsyncPolicy kPolicies[] = {FsyncPolicy::kAlways, FsyncPolicy::kEverySecond,
                                     FsyncPolicy::kNo};

// Of so many crashes another crash is to follow: a sample, unless all are asked for.
size_t Stride(size_t count) {
  constexpr size_t kSample = crash::kIsSlow ? 4 : 16;
  return ::getenv("KEYSTONE_TEST_ALL_CRASHES") != nullptr ? 1 : count / kSample + 1;
}

}  // namespace

TEST_GROUP(Crash) {
  Scratch scratch{crash::ScratchParent()};

  void Visit(Explorer * explorer, const Story& story) {
    const std::string wrong = explorer->Explore(story.journal, story.after, story.from);
    if (!wrong.empty()) FAIL(wrong.c_str());
  }

  void VisitAll(const char* what, const Story& story) {
    Explorer explorer(scratch.path(), story.options);
    Visit(&explorer, story);
    explorer.counts().Print(what);
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

TEST(Crash, StopAndStart) {
  for (const FsyncPolicy policy : kPolicies) VisitAll("stop, start", crash::StopAndStart(policy));
}

TEST(Crash, Recovery) {
  VisitRecoveries("recovery", crash::FirstStart(FsyncPolicy::kNo));
  VisitRecoveries("recovery", crash::Append(FsyncPolicy::kNo));
  VisitRecoveries("recovery", crash::Rotate(FsyncPolicy::kNo));
}

TEST(Crash, KillThenPowerCut) {
  VisitKills("kill, start, power cut", crash::Append(FsyncPolicy::kAlways));
  VisitKills("kill, start, power cut", crash::Rotate(FsyncPolicy::kAlways));
  VisitKills("kill, start, power cut",
             crash::Compact(FsyncPolicy::kAlways, CompactionMode::kOnline));
}
