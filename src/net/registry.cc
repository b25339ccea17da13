#include "net/registry.h"

#include <sys/socket.h>

namespace keystone {

Registry::Membership Registry::Join(Fd* fd, Protocol protocol) {
  Entries made(1);  // allocated outside the mutex
  const std::lock_guard lock(mutex_);
  if (closed_ || entries_.size() >= limit_) return {};
  made.front().fd = std::move(*fd);
  made.front().protocol = protocol;
  made.front().id = ++total_;
  entries_.splice(entries_.begin(), made);
  return {this, entries_.begin()};
}

void Registry::CountRejected() {
  const std::lock_guard lock(mutex_);
  ++rejected_;
}

bool Registry::empty() const {
  const std::lock_guard lock(mutex_);
  return entries_.empty();
}

Registry::Totals Registry::totals() const {
  const std::lock_guard lock(mutex_);
  return {.current = entries_.size(), .total = total_, .rejected = rejected_};
}

void Registry::AddCounters(Counters* sum) const {
  const std::lock_guard lock(mutex_);
  sum->AddAll(ended_);
  for (const Entry& entry : entries_) sum->AddAll(entry.counters);
}

void Registry::ShutdownReads() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  ShutdownAll(SHUT_RD);
}

void Registry::CutAll() { ShutdownAll(SHUT_RDWR); }

void Registry::ShutdownAll(int how) {
  const std::lock_guard lock(mutex_);
  // A socket whose peer is gone already says ENOTCONN: nothing waits in it.
  for (const Entry& entry : entries_) ::shutdown(entry.fd.get(), how);
}

void Registry::Leave(Entries::iterator entry) {
  Entries gone;  // closes the descriptor, after the mutex
  const std::lock_guard lock(mutex_);
  ended_.AddAll(entry->counters);
  gone.splice(gone.begin(), entries_, entry);
  if (entries_.empty() && on_empty_) on_empty_();
}

}  // namespace keystone
