#include "store/deferral.h"

#include <utility>

#include "store/commit_queue.h"

namespace keystone {

Deferral::Deferral(std::function<void()> on_applied) : waiter_(std::make_unique<Waiter>()) {
  waiter_->on_served = std::move(on_applied);
}

Deferral::~Deferral() = default;

}  // namespace keystone
