#include "net/event_loops.h"

#include <algorithm>
#include <new>

namespace keystone {

// One may be about to hand a client to another.
EventLoops::~EventLoops() {
  for (const auto& loop : loops_) loop->Stop();
}

Status EventLoops::Start(size_t count) {
  try {
    for (size_t i = 0; i < count; i++) {
      loops_.push_back(std::make_unique<EventLoop>(
          context_, acceptor_, [this](EventLoop* accepting) { return HostFor(accepting); }));
      if (Status opened = loops_.back()->Open(); !opened.ok()) return opened;
    }
    for (const auto& loop : loops_) {
      if (Status started = loop->Start(); !started.ok()) return started;
    }
    return Status::Ok();
  } catch (const std::bad_alloc&) {
    return {Code::kSystem, "start the event loops: out of memory"};
  }
}

// To hand a client over costs another thread's waking, which few clients more don't.
EventLoop* EventLoops::HostFor(EventLoop* accepting) const {
  constexpr size_t kSlack = 2;
  EventLoop* const least =
      std::ranges::min_element(loops_, {}, [](const auto& loop) { return loop->load(); })->get();
  const size_t fewest = least->load();
  return accepting->load() <= fewest + fewest / 8 + kSlack ? accepting : least;
}

}  // namespace keystone
