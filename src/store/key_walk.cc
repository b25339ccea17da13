#include "store/key_walk.h"

#include <string>

#include "base/clock.h"

namespace keystone {

Status KeyWalk::Step(size_t count, const Visitor& visit) {
  constexpr size_t kAhead = 8;
  entries_.clear();
  now_ms_ = 0;
  cursor_ = index_->Scan(cursor_, count, &entries_);
  for (size_t i = 0; i < entries_.size(); i++) {
    if (i + kAhead < entries_.size()) Prefetch(entries_[i + kAhead]);
    if (Status status = Visit(entries_[i], visit); !status.ok()) return status;
  }
  return Status::Ok();
}

// A key that does not hash to where it was found has a damaged byte; its value's CRC need not be
// computed to know that. But to say that it has expired, it must.
Status KeyWalk::Visit(const Index::Entry& entry, const Visitor& visit) {
  const Segment* segment = segments_->Find(entry.where.segment);
  RecordView record;
  if (segment == nullptr || segment->Read(entry.where.offset, &record) != RecordState::kValid ||
      index_->Position(record.key) != entry.position) {
    return Damage(segment, entry.where);
  }
  if (record.expires_at_ms != 0 && IsExpired(record)) {
    if (!BodyIsIntact(record)) return Damage(segment, entry.where);
    reaper_->Note(record.key);
    return Status::Ok();
  }
  visit(record.key);
  return Status::Ok();
}

// The clock is read once a step, where anything is to expire.
bool KeyWalk::IsExpired(const RecordView& record) {
  if (now_ms_ == 0) now_ms_ = UnixTimeMs();
  return record.attributes().ExpiredBy(now_ms_);
}

void KeyWalk::Prefetch(const Index::Entry& entry) const {
  const Segment* segment = segments_->Find(entry.where.segment);
  if (segment != nullptr && entry.where.offset < segment->size()) {
    __builtin_prefetch(segment->bytes().data() + entry.where.offset);
  }
}

Status KeyWalk::Damage(const Segment* segment, Location where) const {
  Status status = segment != nullptr ? segment->CheckReadable() : Status::Ok();
  if (status.ok()) {
    status = {Code::kCorrupt, SegmentName(where.segment) + ": offset " +
                                  std::to_string(where.offset) +
                                  ": damaged on disk: stop the daemon and run keystone-log check"};
  }
  log_->Write(Priority::kCritical, "%s", status.message().c_str());
  return status;
}

}  // namespace keystone
