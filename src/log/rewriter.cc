#include "log/rewriter.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace keystone {

namespace {

uint64_t NowMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

// Walks what is kept of a source.
class Rewriter::Reader {
 public:
  explicit Reader(const Source* source)
      : name_(source->name), bytes_(source->bytes()), runs_(source->salvage.kept) {
    if (!runs_.empty()) offset_ = runs_.front().begin;
  }

  bool ended() const { return unit_.records.empty(); }
  const Unit& unit() const { return unit_; }

  // To the first one, then to the next. kIo: the bytes are not any more what they were.
  Status Advance() {
    unit_.records.clear();
    if (!runs_.empty() && offset_ == runs_.front().end) {
      runs_ = runs_.subspan(1);
      if (!runs_.empty()) offset_ = runs_.front().begin;
    }
    if (runs_.empty()) return Status::Ok();
    const uint64_t begin = offset_;
    unit_.whole = runs_.front().whole_groups;
    RecordView record;
    do {
      if (DecodeHeader(bytes_.substr(offset_), &record) != RecordState::kValid) {
        return {Code::kIo, "read " + name_ + ": its bytes changed meanwhile at offset " +
                               std::to_string(offset_)};
      }
      unit_.records.push_back(record);
      offset_ += record.size_bytes();
    } while (unit_.whole && record.group_goes_on());
    unit_.bytes = bytes_.substr(begin, offset_ - begin);
    return Status::Ok();
  }

 private:
  const std::string name_;
  const std::string_view bytes_;
  std::span<const KeptRun> runs_;
  uint64_t offset_ = 0;
  Unit unit_;
};

Result<SegmentSet::List> Rewriter::Rewrite(std::span<const Source* const> sources) {
  capacity_bytes_ = kSegmentHeaderSize;
  for (const Source* source : sources) {
    capacity_bytes_ = std::max<uint64_t>(capacity_bytes_, source->bytes().size());
  }
  last_sequence_ = 0;
  Status status = Merge(sources);
  if (status.ok() && !outputs_.empty()) status = FinishLast();
  for (const Source* source : sources) {
    if (Status readable = CheckReadable(directory_, *source); !readable.ok()) status = readable;
  }
  if (!status.ok()) {
    for (const auto& output : outputs_) output->Remove();
    outputs_.clear();
    return status;
  }
  return std::exchange(outputs_, {});
}

Result<SegmentSet::List> Rewriter::MakeActive(uint64_t first_sequence) {
  Status status = Begin(first_sequence, kSegmentHeaderSize);
  if (status.ok()) status = FinishLast();
  SegmentSet::List made = std::exchange(outputs_, {});
  if (!status.ok()) return status;
  return made;
}

Status Rewriter::Merge(std::span<const Source* const> sources) {
  std::vector<Reader> readers(sources.begin(), sources.end());
  for (Reader& reader : readers) {
    if (Status status = reader.Advance(); !status.ok()) return status;
  }
  const auto is_before = [](const Reader& a, const Reader& b) {
    if (a.ended() || b.ended()) return a.ended() < b.ended();
    const auto& x = a.unit().records;
    const auto& y = b.unit().records;
    if (x.front().sequence != y.front().sequence) {
      return x.front().sequence < y.front().sequence;
    }
    return x.size() > y.size();  // rather the whole group than one record of it
  };
  for (;;) {
    const auto next = std::min_element(readers.begin(), readers.end(), is_before);
    if (next == readers.end() || next->ended()) return Status::Ok();
    if (Status status = Write(next->unit()); !status.ok()) return status;
    if (Status status = next->Advance(); !status.ok()) return status;
  }
}

Status Rewriter::Write(const Unit& unit) {
  if (unit.records.front().is_sync_mark()) return Status::Ok();
  if (unit.whole && unit.records.front().sequence > last_sequence_) return WriteWhole(unit);
  for (const RecordView& record : unit.records) {
    if (record.sequence <= last_sequence_) continue;
    if (Status status = WriteSingle(record); !status.ok()) return status;
  }
  return Status::Ok();
}

Status Rewriter::WriteWhole(const Unit& unit) {
  Status status = MakeRoom(unit.bytes.size(), unit.records.front().sequence);
  if (!status.ok()) return status;
  gather_.Add(unit.bytes);
  last_sequence_ = unit.records.back().sequence;
  return Status::Ok();
}

Status Rewriter::WriteSingle(const RecordView& record) {
  if (Status status = MakeRoom(record.size_bytes(), record.sequence); !status.ok()) return status;
  gather_.AddSingle(record);
  last_sequence_ = record.sequence;
  return Status::Ok();
}

Status Rewriter::MakeRoom(uint64_t size_bytes, uint64_t first_sequence) {
  if (gather_.full()) {
    Status status = gather_.Flush(outputs_.back().get());
    if (!status.ok()) return status;
  }
  if (!outputs_.empty() &&
      outputs_.back()->size() + gather_.bytes() + size_bytes <= outputs_.back()->capacity()) {
    return Status::Ok();
  }
  if (!outputs_.empty()) {
    if (Status status = FinishLast(); !status.ok()) return status;
  }
  return Begin(first_sequence, std::max(capacity_bytes_, kSegmentHeaderSize + size_bytes));
}

Status Rewriter::Begin(uint64_t first_sequence, uint64_t capacity_bytes) {
  SegmentHeader header;
  header.number = ++last_number_;
  header.store_id = store_id_;
  header.first_sequence = first_sequence;
  header.created_ms = NowMs();
  auto output = Segment::Create(directory_, header, capacity_bytes);
  if (output.ok()) outputs_.push_back(std::move(output.value()));
  return output.status();
}

Status Rewriter::FinishLast() {
  Status status = gather_.Flush(outputs_.back().get());
  if (status.ok()) status = outputs_.back()->Finish();
  if (status.ok()) outputs_.back()->Seal();
  return status;
}

}  // namespace keystone
