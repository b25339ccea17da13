// Every error: the n-th call of each kind fails, for all n, while the store goes through a script
// of writes, changes to new segments, compactions, a stop and a start.
//
// Whatever fails, the store says so as store.h has it, serves what was acknowledged and nothing
// else, and does so still after a kill and a start without faults.
#include <stdio.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "disk.h"
#include "explorer.h"
#include "load.h"
#include "scratch.h"
#include "store/batch.h"
#include "store/store.h"

// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

using crash::Contents;
using crash::Fault;
using keystone::Batch;
using keystone::Code;
using keystone::CompactionMode;
using keystone::FsyncPolicy;
using keystone::Status;
using keystone::Store;

namespace {

// The script, and what it has found wrong.
class Script {
 public:
  // `expected`: of the code of an error where it is not kReadOnly.
  Script(const std::string& place, FsyncPolicy policy, Code expected)
      : place_(place), expected_(expected) {
    std::filesystem::create_directory(place_);
    options_ = {.directory = place_ + "/data", .fsync = policy, .segment_size_bytes = kSegmentSize};
  }
  ~Script() { std::filesystem::remove_all(place_); }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // Runs with the fault that was injected; then without.
  void Run() {
    Open();
    Apply("a=1 b=2*900");
    Apply("c=3*1500 -b !a*1 a=2 i+=x*50");
    Apply("d=4*3000");
    Sync();
    Compact(CompactionMode::kStopTheWorld);
    Apply("-a e=5");
    Compact(CompactionMode::kOnline);
    Apply("f=6 -c i+=y");
    Clear();
    Apply("i+=z !c*1 h=10@9999999999999");
    CheckKilled();
    Close();
    Open();
    Apply("g=7 -d");
    CheckKilled();
    has_failed_ = crash::StopFaults();
    Recuperate();
    Close();
    Open();
    Close();
  }

  bool has_failed() const { return has_failed_; }
  const std::string& wrong() const { return wrong_; }

 private:
  static constexpr uint64_t kSegmentSize = 4096;

  void Wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }

  // What fails once is tried again once.
  void Open() {
    for (int attempt = 0; attempt < 2 && store_ == nullptr; attempt++) {
      auto store = Store::Open(options_, crash::Quiet());
      if (store.ok()) {
        store_ = std::move(store.value());
      } else {
        CheckCode("open", store.status());
      }
    }
    CheckContents("open");
  }

  void Apply(const std::string& text) {
    if (store_ == nullptr) return;
    const crash::Group group = crash::MakeGroup(text);
    Batch batch;
    crash::Updates updates;
    crash::Fill(group, &batch, &updates);
    const Status status = store_->Apply(&batch);
    CheckCode("write", status);
    if (status.ok()) crash::Run(group, &contents_);
    // The index had no memory for what is in the log.
    if (status.message().find("out of memory") != std::string::npos && !undecided_) {
      undecided_ = contents_;
      crash::Run(group, &*undecided_);
    }
    if (status.code() == Code::kReadOnly && !store_->Stats().read_only) {
      Wrong("refused as read-only by a store that is not: " + status.message());
    }
    CheckContents(text);
  }

  void Sync() {
    if (store_ == nullptr) return;
    const Status status = store_->Sync();
    CheckCode("sync", status);
    if (!status.ok() && !store_->Stats().read_only) Wrong("a failed sync leaves it writable");
  }

  void Compact(CompactionMode mode) {
    if (store_ == nullptr) return;
    CheckCode("compact", store_->Compact(mode));
    CheckContents("compact");
  }

  void Clear() {
    if (store_ == nullptr) return;
    const Status status = store_->Clear();
    CheckCode("clear", status);
    if (status.ok()) contents_.clear();
    // Which MANIFEST there is, a restart will see.
    if (status.code() == Code::kReadOnly && !undecided_) undecided_ = Contents();
    CheckContents("clear");
  }

  void Close() {
    if (store_ == nullptr) return;
    CheckCode("close", store_->Close());
    store_.reset();
  }

  void CheckCode(const std::string& what, const Status& status) {
    if (status.ok() || status.code() == expected_ || status.code() == Code::kReadOnly) return;
    Wrong(what + " has code " + std::to_string(static_cast<int>(status.code())) + ": " +
          status.message());
  }

  void CheckContents(const std::string& what) {
    if (store_ == nullptr) return;
    const auto found = crash::ReadAll(store_.get());
    if (!found.ok()) return Wrong("behind " + what + ": " + found.status().message());
    if (undecided_ && what != "open") return;
    if (undecided_ && found.value() == *undecided_) contents_ = *undecided_;
    undecided_.reset();
    if (const std::string wrong = crash::Difference(found.value(), contents_); !wrong.empty()) {
      Wrong("behind " + what + ": " + wrong);
    }
  }

  // Another store starts from a copy of the files as they are: the process might be killed now.
  void CheckKilled() {
    if (!wrong_.empty()) return;
    crash::SuspendFaults(true);
    const std::string copy = place_ + ".copy";
    if (Copy(options_.directory, copy)) CheckCopy(copy);
    std::filesystem::remove_all(copy);
    crash::SuspendFaults(false);
  }

  // Hints may go while they are copied. False where there is no store.
  static bool Copy(const std::string& from, const std::string& to) {
    namespace fs = std::filesystem;
    if (!fs::exists(from)) return false;
    fs::create_directory(to);
    fs::permissions(to, fs::perms::owner_all);
    const auto names = keystone::ListDirectory(from);
    if (!names.ok()) return false;
    for (const std::string& name : names.value()) {
      std::error_code ignored;
      fs::copy_file(from + "/" + name, to + "/" + name, ignored);
    }
    return true;
  }

  void CheckCopy(const std::string& directory) {
    keystone::StoreOptions options = options_;
    options.directory = directory;
    auto store = Store::Open(options, crash::Quiet());
    if (!store.ok()) return Wrong("killed, it does not start: " + store.status().message());
    if (!crash::CutBytes(directory).empty()) Wrong("a part of a refused write was left");
    const auto found = crash::ReadAll(store.value().get());
    if (!found.ok()) return Wrong("killed: " + found.status().message());
    if (undecided_ && found.value() == *undecided_) return;
    const std::string wrong = crash::Difference(found.value(), contents_);
    if (!wrong.empty()) Wrong("killed and started again: " + wrong);
  }

  // Without faults all works again: at once, or after a compaction or a restart, as the error said.
  void Recuperate() {
    if (store_ == nullptr) Open();
    if (store_ == nullptr) return Wrong("it does not start without faults");
    if (store_->Stats().read_only) (void)store_->Compact(CompactionMode::kStopTheWorld);
    if (store_->Stats().read_only) {
      Close();
      Open();
    }
    if (store_ == nullptr) return Wrong("it does not start without faults");
    const Contents before = contents_;
    Apply("again=8");
    if (contents_ == before) {  // a disk that was full is known to be one until the next look
      (void)store_->Compact(CompactionMode::kStopTheWorld);
      Apply("again=8");
    }
    if (contents_ == before) Wrong("it takes no writes without faults");
    const Status status = store_->Compact(CompactionMode::kOnline);
    if (!status.ok()) Wrong("it does not compact without faults: " + status.message());
    CheckContents("the last compaction");
  }

  const std::string place_;
  const Code expected_;
  keystone::StoreOptions options_;
  std::unique_ptr<Store> store_;
  Contents contents_;  // what it must have
  // What it may have instead after a restart: the write that was refused because memory ran out
  // behind it. Until then a part of it may be seen.
  std::optional<Contents> undecided_;
  bool has_failed_ = false;
  std::string wrong_;
};

struct Kind {
  const char* name;
  Fault::Call call;
  std::vector<int> errors;
  std::optional<Code> code = {};  // where it is not the error's own
};

std::vector<Kind> Kinds() {
  return {
      {"open", Fault::Call::kOpen, {EMFILE, EIO, ENOSPC}},
      {"mkdir", Fault::Call::kMakeDirectory, {EIO, ENOSPC}, Code::kCantCreate},
      {"lock", Fault::Call::kLock, {ENOLCK}},
      {"list", Fault::Call::kList, {EMFILE, EIO}},
      {"look", Fault::Call::kLook, {EIO}},
      {"read", Fault::Call::kRead, {EIO}},
      {"write", Fault::Call::kWrite, {ENOSPC, EDQUOT, EIO}},
      {"allocate", Fault::Call::kAllocate, {ENOSPC, EIO}},
      {"resize", Fault::Call::kResize, {EIO}},
      {"sync", Fault::Call::kSync, {EIO, ENOSPC, EDQUOT}},
      {"rename", Fault::Call::kRename, {EIO, ENOSPC}},
      {"unlink", Fault::Call::kUnlink, {EIO}},
      {"map", Fault::Call::kMap, {ENOMEM}},
      {"pages", Fault::Call::kPages, {ENOMEM}},
      {"random", Fault::Call::kRandom, {EAGAIN}},
      {"thread", Fault::Call::kThread, {EAGAIN}},
  };
}

// Those that a signal may interrupt.
std::vector<Kind> Interruptible() {
  using Call = Fault::Call;
  std::vector<Kind> kinds = Kinds();
  std::erase_if(kinds, [](const Kind& kind) {
    return kind.call != Call::kOpen && kind.call != Call::kRead && kind.call != Call::kWrite &&
           kind.call != Call::kAllocate && kind.call != Call::kResize && kind.call != Call::kSync;
  });
  return kinds;
}

}  // namespace

TEST_GROUP(Errors) {
  Scratch scratch{crash::ScratchParent()};
  size_t runs = 0;

  // False where there is no such call any more.
  bool Try(const Kind& kind, Fault fault, FsyncPolicy policy) {
    const Code code = kind.code.value_or(Status::FromErrno("", "", fault.error).code());
    Script script(scratch.File("live"), policy, code);
    crash::Watch(scratch.File("live"));
    crash::Inject(fault);
    script.Run();
    crash::StopWatching();
    runs++;
    if (!script.wrong().empty()) {
      FAIL((std::string(kind.name) + " " + std::to_string(fault.skip) + " fails with error " +
            std::to_string(fault.error) + ", way " + std::to_string(static_cast<int>(fault.how)) +
            ": " + script.wrong())
               .c_str());
    }
    return script.has_failed();
  }

  // Each call of this kind fails in turn.
  void TryEach(const Kind& kind, Fault fault, FsyncPolicy policy) {
    fault.call = kind.call;
    while (Try(kind, fault, policy)) fault.skip++;
  }

  void TryAll(Fault::How how, FsyncPolicy policy, bool of_hints = false) {
    for (const Kind& kind : Kinds()) {
      for (const int error : kind.errors) {
        TryEach(kind, {.call = kind.call, .error = error, .how = how, .of_hints = of_hints},
                policy);
      }
    }
    printf("%zu runs\n", runs);
  }
};

TEST(Errors, ACallFailsOnce) { TryAll(Fault::How::kOnce, FsyncPolicy::kAlways); }

TEST(Errors, CallsFailFromThenOn) { TryAll(Fault::How::kFromThenOn, FsyncPolicy::kNo); }

TEST(Errors, CallsOnHintsFail) { TryAll(Fault::How::kFromThenOn, FsyncPolicy::kNo, true); }

TEST(Errors, CallsAreInterruptedOrShort) {
  for (const Kind& kind : Interruptible()) {
    TryEach(kind, {.call = kind.call, .error = EINTR}, FsyncPolicy::kAlways);
    if (kind.call != Fault::Call::kRead && kind.call != Fault::Call::kWrite) continue;
    TryEach(kind, {.call = kind.call, .how = Fault::How::kShort}, FsyncPolicy::kAlways);
  }
}

TEST(Errors, AWriteIsTorn) {
  for (const int error : {ENOSPC, EIO}) {
    const Kind write{"write", Fault::Call::kWrite, {}};
    TryEach(write, {.call = write.call, .error = error, .how = Fault::How::kTorn},
            FsyncPolicy::kAlways);
  }
}
