#include "store/health.h"

namespace keystone {

Status Health::Check() const {
  if (!read_only()) return Status::Ok();
  const std::lock_guard lock(mutex_);
  return Error();
}

Status Health::BecomeReadOnly(const Status& why, const char* way_out) {
  const std::lock_guard lock(mutex_);
  return BecomeReadOnlyLocked(why, way_out);
}

Status Health::BecomeReadOnlyForGood(const Status& why) {
  const std::lock_guard lock(mutex_);
  incurable_ = true;
  return BecomeReadOnlyLocked(why, "restart the daemon");
}

Status Health::BecomeReadOnlyLocked(const Status& why, const char* way_out) {
  if (!read_only()) {
    read_only_.store(true, std::memory_order_release);
    way_out_ = way_out;
    reason_ = why.message();
    log_->Write(Priority::kCritical, "%s: the store is read-only: %s", reason_.c_str(), way_out_);
  }
  return Error();
}

Status Health::CheckCurable() const {
  const std::lock_guard lock(mutex_);
  if (!incurable_) return Status::Ok();
  return {Code::kReadOnly, "the store is read-only (" + reason_ + "): restart the daemon"};
}

void Health::Cure() {
  const std::lock_guard lock(mutex_);
  if (incurable_) return;
  reason_.clear();
  read_only_.store(false, std::memory_order_release);
}

// Ok where a compaction has come between.
Status Health::Error() const {
  if (!read_only()) return Status::Ok();
  return {Code::kReadOnly, "the store is read-only (" + reason_ + "): " + way_out_};
}

}  // namespace keystone
