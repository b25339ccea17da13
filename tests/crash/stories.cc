#include "stories.h"

#include <atomic>
#include <filesystem>
#include <string_view>
#include <utility>

#include "clock.h"
#include "disk.h"
#include "explorer.h"
#include "log/repair.h"
#include "scratch.h"
#include "wait.h"

namespace crash {

namespace {

using keystone::CompactionMode;
using keystone::FsyncPolicy;
using keystone::Status;
using keystone::Store;

constexpr uint64_t kSmallSegment = 4096;
constexpr uint64_t kBigSegment = 1 << 20;

void CheckOk(const Status& status) { STRCMP_EQUAL("", status.message().c_str()); }

// A store at work while its directory is watched.
class Stage {
 public:
  explicit Stage(FsyncPolicy policy, uint64_t segment_size_bytes = kSmallSegment)
      : Stage({.directory = {}, .fsync = policy, .segment_size_bytes = segment_size_bytes}, {},
              {}) {}

  // Goes on where `before` has left `tree`.
  Stage(const keystone::StoreOptions& options, const Tree& tree, Journal before)
      : options_(options), load_(options.fsync) {
    WriteTree(tree, root_);
    options_.directory = root_ + "/" + kDataDirectory;
    Watch(root_, std::move(before));
  }

  void Open() {
    auto store = Store::Open(options_, Quiet());
    CheckOk(store.status());
    store_ = std::move(store.value());
  }
  void Apply(const std::vector<std::string>& groups) { CheckOk(load_.Apply(store(), groups)); }
  void Sync() { CheckOk(load_.Sync(store())); }
  void Clear() { CheckOk(load_.Clear(store())); }
  void Compact(CompactionMode mode) { CheckOk(load_.Compact(store(), mode)); }
  // The store will delete the key.
  void FindGone(const std::string& key) {
    bytes_before_ = store()->Stats().log_bytes;
    load_.Foresee("-" + key);
    CHECK_TRUE(store()->Exists(key).code() == keystone::Code::kNotFound);
  }
  void AwaitGroup() {
    testing::WaitUntil([&] { return store()->Stats().log_bytes != bytes_before_; });
    load_.Seen();
  }
  // What goes, goes with the commit point.
  void CompactAway(CompactionMode mode, const std::string& gone) {
    load_.Foresee(gone);
    Compact(mode);
    load_.Seen();
  }
  void Close() {
    CheckOk(load_.Close(store()));
    store_.reset();
  }
  void Repair() {
    CheckOk(keystone::Repair(options_.directory, false, [](const std::string&) {}));
  }
  Contents Read() {
    auto contents = ReadAll(store());
    CheckOk(contents.status());
    return contents.value();
  }

  Story End() {
    Story story{.options = options_, .journal = StopWatching(), .after = load_.after()};
    store_.reset();  // what it does now does not count any more
    return story;
  }

  const std::string& directory() const { return options_.directory; }
  Store* store() { return store_.get(); }
  Load& load() { return load_; }

 private:
  Scratch scratch_{ScratchParent()};
  const std::string root_ = scratch_.File("live");
  keystone::StoreOptions options_;
  Load load_;
  uint64_t bytes_before_ = 0;  // of the log
  std::unique_ptr<Store> store_;
};

// Commits a group at each step of an online compaction that holds no lock: whatever it does to
// segments once the active one is sealed.
class Meanwhile {
 public:
  explicit Meanwhile(Stage* stage) : stage_(stage) {
    AfterEach([this](const Event& event) { See(event); });
  }
  ~Meanwhile() { AfterEach({}); }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;

 private:
  void See(const Event& event) {
    const std::string_view path = event.path;
    if (event.kind == Event::Kind::kRename && path.ends_with("MANIFEST.tmp")) sealed_ = true;
    if (!sealed_ || path.find(".log") == path.npos || event.kind == Event::Kind::kSync) return;
    const std::string number = std::to_string(++groups_);
    stage_->Apply({"during=" + number + " a=d" + number});
  }

  Stage* const stage_;
  std::atomic<bool> sealed_ = false;  // other threads cause events, too
  int groups_ = 0;
};

void AppendAll(Stage* stage) {
  stage->Apply({"a=1"});
  stage->Apply({"b=2 a=3 c=x*700"});
  stage->Apply({"-b d=4"});
  stage->Sync();
  stage->Apply({"e=5", "-a f=y*1200", "a=6"});
  stage->Apply({"-c -a"});
  stage->Apply({"c=7 -c", "g=z*512", "-nothing"});
}

}  // namespace

Story FirstStart(FsyncPolicy policy) {
  Stage stage(policy);
  stage.Open();
  stage.Close();
  return stage.End();
}

Story Append(FsyncPolicy policy) {
  Stage stage(policy);
  stage.Open();
  AppendAll(&stage);
  stage.Close();
  return stage.End();
}

Story AppendToReserve() {
  Stage stage(FsyncPolicy::kAlways, kBigSegment);
  stage.Open();
  AppendAll(&stage);
  stage.Close();
  return stage.End();
}

Story Rotate(FsyncPolicy policy) {
  Stage stage(policy);
  stage.Open();
  stage.Apply({"a=1*2000 b=2"});
  stage.Apply({"c=3*1900", "d=4*300"});
  stage.Apply({"-a b=5*5000"});
  stage.Apply({"e=6"});
  stage.Sync();
  stage.Apply({"-b a=7*3000", "-c", "f=8*2000"});
  stage.Apply({"g=9"});
  return stage.End();
}

Story Compact(FsyncPolicy policy, CompactionMode mode) {
  Stage stage(policy);
  stage.Open();
  stage.Apply({"a=1*1000 b=2*900 c=3"});
  stage.Apply({"d=4*1500", "-b"});
  stage.Apply({"e=5*1000 -c f=6"});
  const auto compact = [&] {
    if (mode == CompactionMode::kStopTheWorld) return stage.Compact(mode);
    const Meanwhile meanwhile(&stage);
    stage.Compact(mode);
  };
  compact();
  stage.Apply({"a=7 -d g=8*700"});
  stage.Sync();
  compact();
  stage.Apply({"-g h=9"});
  return stage.End();
}

Story Update(FsyncPolicy policy) {
  Stage stage(policy);
  stage.Open();
  stage.Apply({"a=1 b=2"});
  stage.Apply({"a+=x*700 b+=3 c+=4"});
  stage.Apply({"!a*2 -b d=1 e=5", "a+=y a+=z", "!none*1 -c c+=6 !none*9"});
  stage.Sync();
  stage.Apply({"b+=w*1500 f=7@9999999999999 f+=8", "-d !e*1 g=9 f+=10"});
  stage.Apply({"!e*1 g=9"});
  stage.Apply({"h+=v*1900 -e", "!e*1 g+=11"});
  stage.Close();
  return stage.End();
}

Story Clear(FsyncPolicy policy) {
  Stage stage(policy);
  stage.Open();
  stage.Apply({"a=1*2000 b=2"});
  stage.Apply({"c=3*1900", "d=4*300 a+=5"});
  stage.Apply({"e=6"});
  stage.Clear();
  stage.Apply({"a+=7 b=8"});
  stage.Clear();
  stage.Clear();
  stage.Apply({"c=9"});
  return stage.End();
}

Story StopAndStart(FsyncPolicy policy) {
  Stage stage(policy);
  stage.Open();
  stage.Apply({"a=1*1000 b=2"});
  stage.Close();
  stage.Open();
  stage.Apply({"-a c=3*3000"});
  stage.Apply({"d=4*2000"});
  stage.Close();
  stage.Open();
  stage.Apply({"-b"});
  stage.Close();
  return stage.End();
}

Story Expire(FsyncPolicy policy, CompactionMode mode) {
  SetTime(kBefore);
  Stage stage(policy);
  stage.Open();
  stage.Apply({"a=1@2000000 b=2*900@2000000 c=3", "d=4@2000000"});
  stage.Apply({"c=5@2000000 -nothing", "e=6*700", "f=7@2500000"});
  SetTime(2'000'000);
  stage.FindGone("a");
  stage.AwaitGroup();
  stage.Apply({"b=8"});
  stage.CompactAway(mode, "-c -d");
  stage.Apply({"d=9@2500000", "g=10"});
  stage.Sync();
  SetTime(kBehind);
  stage.FindGone("f");
  stage.Close();
  SetTime(0);
  return stage.End();
}

Story Recover(const Story& story, const Tree& tree) {
  Stage stage(story.options, tree, SyncedJournal(tree));
  stage.Open();
  const Contents contents = stage.Read();
  stage.Close();
  const std::string cut = CutBytes(stage.directory());
  Story recovery = stage.End();
  recovery.cut = cut;
  recovery.from = SyncedJournal(tree).size();
  recovery.after = {contents};
  return recovery;
}

Story Repair(const Story& story, const Tree& tree) {
  Stage stage(story.options, tree, SyncedJournal(tree));
  stage.Repair();
  Story repair = stage.End();
  repair.from = SyncedJournal(tree).size();
  stage.Open();
  repair.after = {stage.Read()};
  return repair;
}

Story KillAndGoOn(const Story& story, size_t last) {
  Journal before = Prefix(story.journal, last + 1);
  Disk disk;
  for (const Event& event : before) disk.Apply(event);
  Stage stage(story.options, disk.BuildAll(), std::move(before));
  stage.Open();
  const Contents contents = stage.Read();
  std::vector<Contents> after = story.after;
  while (after.size() > 1 && after.back() != contents) after.pop_back();
  stage.load().Resume(std::move(after));
  stage.Apply({"a=again z=1*600"});
  Story next = stage.End();
  next.from = last + 1;
  return next;
}

}  // namespace crash
