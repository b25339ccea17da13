#include "store/hint_writer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/crc32.h"
#include "base/file.h"
#include "base/memory.h"

namespace keystone {

namespace {

constexpr std::chrono::milliseconds kSlice{2};  // of work, before a pause
constexpr std::chrono::milliseconds kLongestPause{50};
constexpr int kPausePerWork = 3;
constexpr std::chrono::seconds kFinishFor{2};
constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr size_t kSyncBytes = size_t{4} << 20;  // so that no sync of the log has to wait for more

// Appends to a file, and syncs as it goes.
class Output {
 public:
  Output(int fd, std::string_view path, uint64_t offset) : fd_(fd), path_(path), offset_(offset) {}

  Status Write(std::string_view bytes) {
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    if (Status status = WriteAt(fd_, {&piece, 1}, offset_, path_); !status.ok()) return status;
    offset_ += bytes.size();
    unsynced_ += bytes.size();
    if (unsynced_ < kSyncBytes) return Status::Ok();
    unsynced_ = 0;
    return SyncData(fd_, path_);
  }

 private:
  const int fd_;
  const std::string_view path_;
  uint64_t offset_;
  size_t unsynced_ = 0;
};

void AppendBlock(const std::vector<HintedKey>& keys, HintHeader::Block* block, std::string* out) {
  const size_t start = out->size();
  for (const HintedKey& key : keys) AppendHintEntry(key, out);
  block->entries = static_cast<uint32_t>(keys.size());
  block->size_bytes = out->size() - start;
  block->crc = Crc32(std::string_view(*out).substr(start));
}

}  // namespace

HintWriter::HintWriter(std::string directory, uint64_t seed, const Reserve* reserve, const Log* log)
    : directory_(std::move(directory)), seed_(seed), reserve_(reserve), log_(log) {}

HintWriter::~HintWriter() { Stop(); }

void HintWriter::Start() {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    log_->Write(Priority::kWarning, "start the thread that writes hints: %s: there will be none",
                error.what());
  }
}

void HintWriter::Add(std::shared_ptr<Segment> segment) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(segment));
  wake_.notify_one();
}

void HintWriter::Forget(const SegmentSet::List& segments) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& segment : segments) {
      std::erase(queue_, segment);
      if (segment == current_) forgotten_ = true;
    }
  }
  // One that got its name before that is here; after it none gets one.
  for (const auto& segment : segments) {
    (void)::unlink((directory_ + "/" + HintName(segment->number())).c_str());
  }
}

void HintWriter::Hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
  if (current_ == nullptr || forgotten_) return;
  queue_.push_front(current_);
  forgotten_ = true;
  wake_.notify_one();
}

void HintWriter::Release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  wake_.notify_one();
}

void HintWriter::Finish(std::shared_ptr<Segment> active) {
  {
    const std::lock_guard lock(mutex_);
    if (active != nullptr) queue_.push_front(std::move(active));
    finishes_ = true;
    last_begin_ = Clock::now() + kFinishFor;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void HintWriter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void HintWriter::Run() {
  while (const std::shared_ptr<Segment> segment = Take()) {
    resumed_ = Clock::now();
    const Status status = UnlessOutOfMemory([&] { return Write(segment); });
    ReturnFreeMemory();
    if (status.ok() || status.code() == Code::kCancelled) continue;
    log_->Write(Priority::kWarning, "%s: no hint made: %s", segment->path().c_str(),
                status.message().c_str());
  }
}

// Waits for the next segment; null at the end.
std::shared_ptr<Segment> HintWriter::Take() {
  std::unique_lock lock(mutex_);
  current_.reset();
  forgotten_ = false;
  wake_.wait(lock, [this] { return stops_ || finishes_ || (!held_ && !queue_.empty()); });
  if (stops_ || queue_.empty() || (finishes_ && Clock::now() > last_begin_)) return nullptr;
  current_ = std::move(queue_.front());
  queue_.pop_front();
  return current_;
}

Status HintWriter::Write(const std::shared_ptr<Segment>& segment) {
  const auto old = HintFile::Open(directory_, *segment, seed_);
  if (old.ok() && old.value().header().covered_bytes == segment->size()) return Status::Ok();
  const SegmentSet::List segments{segment};
  HintTable table(&segments, seed_);
  Status status;
  const ScanEnd end = table.Fill(0, kSegmentHeaderSize, segment->size(),
                                 segment->header().first_sequence, [&](uint64_t, uint64_t) {
                                   status = Pause();
                                   return status.ok();
                                 });
  if (!status.ok()) return status;
  if (end.kind == ScanEnd::Kind::kDamage) {
    return {Code::kCorrupt, segment->path() + ": offset " + std::to_string(end.damage_offset) +
                                ": " + end.reason + "; run keystone-log check"};
  }
  HintHeader header;
  header.seed = seed_;
  header.covered_bytes = end.offset;
  header.records = end.records;
  header.last_sequence = end.last_sequence;
  header.last_offset = table.last_offset();
  BindHint(*segment, &header);
  const std::string path = directory_ + "/" + HintName(segment->number());
  status = WriteFile(*segment, &table, &header, path + ".tmp");
  // The keys were read again meanwhile.
  if (status.ok()) status = segment->CheckReadable();
  if (status.ok()) status = Keep(path + ".tmp", path);
  if (!status.ok()) (void)::unlink((path + ".tmp").c_str());
  return status;
}

Status HintWriter::WriteFile(const Segment& segment, HintTable* table, HintHeader* header,
                             const std::string& path) {
  auto fd = OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!fd.ok()) return fd.status();
  Status status = WriteBlocks(table, header, fd.value().get(), path);
  if (!status.ok()) return status;
  status = Output(fd.value().get(), path, 0).Write(EncodeHintHeader(*header));
  if (status.ok()) status = SyncFile(fd.value().get(), path);
  if (!status.ok()) return status;
  log_->Write(Priority::kInfo, "hint of %s: %llu keys, %llu bytes", segment.name().c_str(),
              static_cast<unsigned long long>(header->entries()),
              static_cast<unsigned long long>(header->file_size()));
  return Status::Ok();
}

Status HintWriter::WriteBlocks(HintTable* table, HintHeader* header, int fd,
                               const std::string& path) {
  Output output(fd, path, kHintHeaderSize);
  std::string bytes;
  std::vector<HintedKey> keys;
  for (size_t shard = 0; shard < kHintShards; shard++) {
    keys.clear();
    table->Sort(shard);
    table->Collect(shard, &keys);
    table->Release(shard);
    AppendBlock(keys, &header->blocks[shard], &bytes);
    if (Status status = Pause(); !status.ok()) return status;
    if (bytes.size() < kWriteBytes && shard + 1 < kHintShards) continue;
    if (Status status = output.Write(bytes); !status.ok()) return status;
    bytes.clear();
  }
  return Status::Ok();
}

// The name is given with the mutex held: a segment is forgotten before, or its hint taken away
// afterwards. The directory is not synced, for a hint that a power cut takes away is only missed.
Status HintWriter::Keep(const std::string& temporary, const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (forgotten_) return {Code::kCancelled, "the segment is gone"};
  return Rename(temporary, path);
}

// Clients come first, unless the store is closing. What is left on a full disk is not for hints.
Status HintWriter::Pause() {
  std::unique_lock lock(mutex_);
  const auto worked = Clock::now() - resumed_;
  if (!finishes_ && worked >= kSlice) {
    const auto pause = std::min<Clock::duration>(worked * kPausePerWork, kLongestPause);
    wake_.wait_for(lock, pause, [this] { return stops_ || finishes_ || forgotten_; });
    resumed_ = Clock::now();
  }
  if (stops_ || forgotten_) return {Code::kCancelled, "not wanted any more"};
  if (reserve_->released()) return {Code::kNoSpace, "the disk is full"};
  return Status::Ok();
}

}  // namespace keystone
