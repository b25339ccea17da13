#include "bench/embedded.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "bench/data.h"

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kBetweenLooksAtStop = 4096;  // operations

// A directory that goes with what is in it.
class Scratch {
 public:
  static Result<std::unique_ptr<Scratch>> Make(const std::string& parent) {
    std::string path = parent + "/keystone-bench.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return Status::FromErrno("make", path, errno);
    return std::unique_ptr<Scratch>(new Scratch(std::move(path)));
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }

  // So that nobody pays for the writes of those before.
  Status Sync() const {
    auto fd = OpenFile(path_, O_RDONLY | O_DIRECTORY);
    if (!fd.ok()) return fd.status();
    return ::syncfs(fd.value().get()) == 0 ? Status::Ok() : Status::FromErrno("sync", path_, errno);
  }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}

  const std::string path_;
};

// The workloads of one engine.
class Runner {
 public:
  Runner(const EmbeddedOptions& options, EngineKind kind, std::string directory, int stop,
         std::vector<EmbeddedTime>* times)
      : options_(options),
        kind_(kind),
        directory_(std::move(directory)),
        stop_(stop),
        values_(options.value_size_bytes),
        order_(options.keys),
        times_(times) {}

  Status Run() {
    Status status = Open("fillseq");
    if (status.ok()) status = Measure("fillseq", [&](uint64_t i) { return Set(i); });
    engine_.reset();
    if (status.ok()) status = Open("fillrandom");
    if (status.ok()) status = Measure("fillrandom", [&](uint64_t i) { return Set(order_.At(i)); });
    BenchRandom random(2);
    const auto any = [&] { return random.Below(options_.keys); };
    if (status.ok()) status = Measure("overwrite", [&](uint64_t) { return Set(any()); });
    if (status.ok()) status = Measure("readrandom", [&](uint64_t) { return Get(any()); });
    engine_.reset();
    return status;
  }

 private:
  Status Open(const std::string& name) {
    auto engine = Engine::Open(kind_, directory_ + "/" + EngineName(kind_) + "-" + name);
    if (!engine.ok()) return engine.status();
    engine_ = std::move(engine.value());
    return Status::Ok();
  }

  Status Set(uint64_t key) {
    value_.clear();
    values_.Append(key, &value_);
    return engine_->Set(BenchKey(key).text(), value_);
  }

  Status Get(uint64_t key) {
    Status status = engine_->Get(BenchKey(key).text(), &value_);
    const bool wrong = options_.verify && status.ok() && !values_.Matches(key, value_);
    if (!wrong && status.code() != Code::kNotFound) return status;
    return {Code::kCorrupt, std::string(EngineName(kind_)) + ": " +
                                std::string(BenchKey(key).text()) +
                                (wrong ? ": the value is not what was stored" : ": not found")};
  }

  template <class Step>
  Status Measure(const char* workload, const Step& step) {
    const auto start = Clock::now();
    for (uint64_t i = 0; i < options_.keys; i++) {
      if (Status status = step(i); !status.ok()) return status;
      if (i % kBetweenLooksAtStop == 0 && IsStopped()) return {Code::kCancelled, "interrupted"};
    }
    const std::chrono::duration<double> taken = Clock::now() - start;
    times_->push_back({workload, kind_, taken.count()});
    return Status::Ok();
  }

  bool IsStopped() const {
    pollfd polled{stop_, POLLIN, 0};
    return ::poll(&polled, 1, 0) > 0;
  }

  const EmbeddedOptions& options_;
  const EngineKind kind_;
  const std::string directory_;
  const int stop_;
  const BenchValues values_;
  const BenchPermutation order_;
  std::vector<EmbeddedTime>* const times_;
  std::unique_ptr<Engine> engine_;
  std::string value_;
};

}  // namespace

Result<std::vector<EmbeddedTime>> RunEmbedded(const EmbeddedOptions& options, int stop) {
  std::vector<EmbeddedTime> times;
  for (const EngineKind kind : options.engines) {
    auto scratch = Scratch::Make(options.directory);
    if (!scratch.ok()) return scratch.status();
    if (Status status = scratch.value()->Sync(); !status.ok()) return status;
    Runner runner(options, kind, scratch.value()->path(), stop, &times);
    if (Status status = runner.Run(); !status.ok()) return status;
  }
  return times;
}

}  // namespace keystone
