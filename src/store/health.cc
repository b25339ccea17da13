#include "store/health.h"

#include <new>

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
    log_->Write(Priority::kCritical, "%s: the store is read-only: %s", why.message().c_str(),
                way_out_);
    Keep(why.message());
  }
  return Error();
}

void Health::Keep(const std::string& reason) try {
  reason_ = reason;
} catch (const std::bad_alloc&) {
  reason_ = "see the log";  // so short that it takes no memory
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
Status Health::Error() const try {
  if (!read_only()) return Status::Ok();
  return {Code::kReadOnly, "the store is read-only (" + reason_ + "): " + way_out_};
} catch (const std::bad_alloc&) {
  return Status::OutOfMemory(Code::kReadOnly);
}

}  // namespace keystone
