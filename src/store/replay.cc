#include "store/replay.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "store/hint.h"
#include "store/hint_table.h"
#include "store/workers.h"

namespace keystone {

namespace {

constexpr size_t kBatch = 4;                         // segments that are scanned together
constexpr uint64_t kCondenseAt = uint64_t{4} << 20;  // entries
constexpr uint64_t kWatchBytes = uint64_t{1} << 20;  // between two looks whether to go on

}  // namespace

Replay::Replay(const std::string& directory, const SegmentSet::List* segments, uint64_t seed,
               const Log* log, RecoveryMeter* meter)
    : directory_(directory),
      segments_(*segments),
      seed_(seed),
      log_(log),
      meter_(meter),
      bad_(segments->size()),
      ends_(segments->size()),
      condense_at_(kCondenseAt) {
  hints_.files.resize(segments->size());
  hints_.tables.resize(segments->size() + 1);
}

Status Replay::Run(Index* index) {
  OpenHints();
  std::vector<size_t> all(segments_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  if (Status status = ScanAll(all); !status.ok()) return status;
  return LoadAll(index);
}

void Replay::OpenHints() {
  for (size_t i = 0; i < segments_.size(); i++) {
    auto file = HintFile::Open(directory_, *segments_[i], seed_);
    if (file.ok()) {
      hints_.files[i] = std::move(file.value());
    } else if (file.status().code() != Code::kNotFound) {
      DropHint(i, file.status());
    }
  }
}

// What a crash or a hand has done to the active segment decides how the store starts, so its
// records are checked though its hint tells of them.
Result<bool> Replay::HidesDamage(size_t ordinal) const {
  if (ordinal + 1 != segments_.size() || !hints_.files[ordinal]) return false;
  const Segment& segment = *segments_[ordinal];
  const uint64_t covered = hints_.files[ordinal]->header().covered_bytes;
  uint64_t watched = 0;
  Status status;
  const ScanEnd end =
      ScanGroups(segment.bytes().substr(0, covered), segment.header().first_sequence, true,
                 [&](std::span<const PlacedRecord> group) {
                   if (group.back().offset - watched < kWatchBytes) return true;
                   watched = group.back().offset;
                   status = meter_->Advance(0, 0);  // these bytes count when the hint is loaded
                   return status.ok();
                 });
  if (!status.ok()) return status;
  return end.kind != ScanEnd::Kind::kEnd;
}

void Replay::DropHint(size_t ordinal, const Status& why) {
  log_->Write(Priority::kWarning, "%s: hint not used, %s is read instead", why.message().c_str(),
              segments_[ordinal]->name().c_str());
  hints_.files[ordinal].reset();
  bad_[ordinal] = true;
}

// What the hints leave out, and whether it is as it should be. Tables hold every operation: if the
// log has much that was overwritten, that is dropped now and then.
Status Replay::ScanAll(std::span<const size_t> ordinals) {
  while (!ordinals.empty()) {
    const std::span<const size_t> batch = ordinals.first(std::min(kBatch, ordinals.size()));
    ordinals = ordinals.subspan(batch.size());
    Status status = RunTasks(
        batch.size(), WorkerCount(), [&](size_t, size_t task) { return Scan(batch[task]); },
        [&] { (void)meter_->Advance(0, 0); });
    if (status.ok() && !ordinals.empty() && Held() > condense_at_) status = CondenseTables();
    if (!status.ok()) return status;
  }
  return Judge();
}

Status Replay::CondenseTables() {
  auto& condensed = hints_.tables.back();
  if (condensed == nullptr) condensed = std::make_unique<HintTable>(&segments_, seed_);
  std::vector<HintLoader> loaders(WorkerCount(), HintLoader(&segments_, &hints_, nullptr));
  Status status = RunTasks(
      kHintShards, loaders.size(),
      [&](size_t worker, size_t shard) {
        loaders[worker].Condense(shard);
        return meter_->Advance(0, 0);
      },
      [&] { (void)meter_->Advance(0, 0); });
  condense_at_ = std::max(kCondenseAt, 2 * Held());
  return status;
}

uint64_t Replay::Held() const {
  uint64_t count = 0;
  for (const auto& table : hints_.tables) {
    if (table != nullptr) count += table->Count();
  }
  return count;
}

Status Replay::Scan(size_t ordinal) {
  const Segment& segment = *segments_[ordinal];
  const Result<bool> hides_damage = HidesDamage(ordinal);
  if (!hides_damage.ok()) return hides_damage.status();
  if (hides_damage.value()) {
    DropHint(ordinal, {Code::kCorrupt, directory_ + "/" + HintName(segment.number()) +
                                           ": it tells of records that are damaged"});
  }
  const auto& file = hints_.files[ordinal];
  uint64_t offset = kSegmentHeaderSize;
  uint64_t first_sequence = segment.header().first_sequence;
  if (file) {
    offset = file->header().covered_bytes;
    first_sequence = std::max(first_sequence, file->header().last_sequence + 1);
  }
  const std::string_view bytes = segment.bytes();
  if (offset == bytes.size()) {
    ends_[ordinal] = ScanEnd();
    ends_[ordinal].offset = offset;
    return Status::Ok();
  }
  hints_.tables[ordinal] = std::make_unique<HintTable>(&segments_, seed_);
  Status status;
  (void)::madvise(const_cast<char*>(bytes.data()), bytes.size(), MADV_SEQUENTIAL);
  ends_[ordinal] =
      hints_.tables[ordinal]->Fill(static_cast<uint32_t>(ordinal), offset, bytes.size(),
                                   first_sequence, [&](uint64_t read, uint64_t records) {
                                     status = meter_->Advance(read, records);
                                     return status.ok();
                                   });
  (void)::madvise(const_cast<char*>(bytes.data()), bytes.size(), MADV_NORMAL);
  return status;
}

Status Replay::LoadAll(Index* index) {
  std::vector<size_t> shards(kHintShards);
  std::iota(shards.begin(), shards.end(), size_t{0});
  while (!shards.empty()) {
    std::vector<Status> errors(shards.size());
    std::vector<size_t> bad(shards.size());
    Status status = LoadShards(shards, index, &errors, &bad);
    if (!status.ok()) return status;
    std::vector<size_t> left;
    std::vector<size_t> to_scan;
    for (size_t i = 0; i < shards.size(); i++) {
      if (errors[i].ok()) continue;
      left.push_back(shards[i]);
      if (!hints_.files[bad[i]]) continue;  // known by another shard
      DropHint(bad[i], errors[i]);
      to_scan.push_back(bad[i]);
    }
    std::sort(to_scan.begin(), to_scan.end());
    if (status = ScanAll(to_scan); !status.ok()) return status;
    shards = std::move(left);
  }
  return Status::Ok();
}

// Fails only where it is cancelled or out of memory: errors[i] says that shards[i] was not loaded
// because of the hint of the segment bad[i].
Status Replay::LoadShards(std::span<const size_t> shards, Index* index, std::vector<Status>* errors,
                          std::vector<size_t>* bad) {
  uint64_t bytes = 0;
  uint64_t records = 0;
  for (const auto& file : hints_.files) {
    if (!file) continue;
    bytes += file->header().covered_bytes;
    records += file->header().records;
  }
  std::vector<HintLoader> loaders(WorkerCount(), HintLoader(&segments_, &hints_, index));
  return RunTasks(
      shards.size(), loaders.size(),
      [&](size_t worker, size_t task) {
        (*errors)[task] = loaders[worker].Load(shards[task], &(*bad)[task]);
        return meter_->Advance(bytes / kHintShards, records / kHintShards);
      },
      [&] { (void)meter_->Advance(0, 0); });
}

// Damage is judged in the order of the log, and before anything on disk is changed.
Status Replay::Judge() const {
  uint64_t last_sequence = 0;
  for (size_t i = 0; i < segments_.size(); i++) {
    if (Status status = segments_[i]->CheckFollows(last_sequence); !status.ok()) {
      return Refuse(status.message());
    }
    if (Status status = JudgeEnd(i); !status.ok()) return status;
    last_sequence = std::max(last_sequence, LastSequence(i));
  }
  return Status::Ok();
}

Status Replay::JudgeEnd(size_t ordinal) const {
  const Segment& segment = *segments_[ordinal];
  const ScanEnd& end = ends_[ordinal];
  if (end.kind == ScanEnd::Kind::kEnd) return Status::Ok();
  const bool active = ordinal + 1 == segments_.size();
  const bool damaged = end.kind == ScanEnd::Kind::kDamage;
  const bool claimed = damaged && SyncMarkClaims(segment.bytes(), end.damage_offset, end.offset);
  if (active && !end.unknown_flag && !claimed) return Status::Ok();
  return Refuse(segment.path() + ": offset " +
                std::to_string(damaged ? end.damage_offset : end.offset) + ": " +
                (damaged ? end.reason : "zeros where records were on stable storage"));
}

Status Replay::Refuse(const std::string& what) const {
  return {Code::kCorrupt, what + "; no crash explains it: " + HowToRepair(directory_)};
}

SegmentSet::List Replay::WithBadHint() const {
  SegmentSet::List segments;
  for (size_t i = 0; i < segments_.size(); i++) {
    if (bad_[i]) segments.push_back(segments_[i]);
  }
  return segments;
}

SegmentSet::List Replay::WithoutHint() const {
  SegmentSet::List segments;
  for (size_t i = 0; i + 1 < segments_.size(); i++) {
    const auto& file = hints_.files[i];
    if (!file || file->header().covered_bytes < segments_[i]->size()) {
      segments.push_back(segments_[i]);
    }
  }
  return segments;
}

uint64_t Replay::records() const {
  uint64_t records = 0;
  for (size_t i = 0; i < segments_.size(); i++) {
    records += ends_[i].records;
    if (hints_.files[i]) records += hints_.files[i]->header().records;
  }
  return records;
}

uint64_t Replay::next_sequence() const {
  uint64_t next = 1;
  for (size_t i = 0; i < segments_.size(); i++) {
    next = std::max({next, segments_[i]->header().first_sequence, LastSequence(i) + 1});
  }
  return next;
}

// 0: it has no record.
uint64_t Replay::LastSequence(size_t ordinal) const {
  const auto& file = hints_.files[ordinal];
  return std::max(ends_[ordinal].last_sequence, file ? file->header().last_sequence : 0);
}

size_t Replay::hints_used() const {
  return static_cast<size_t>(std::count_if(hints_.files.begin(), hints_.files.end(),
                                           [](const auto& file) { return file.has_value(); }));
}

std::string HowToRepair(const std::string& directory) {
  return "run keystone-log check " + directory + ", then keystone-log repair " + directory +
         ", or bring back a backup";
}

}  // namespace keystone
