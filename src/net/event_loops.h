// A few event loops that share all clients.
//
// Each accepts for itself, and hands to the one that has the fewest what would leave it with
// clearly more. One thread only, but for the loops themselves. Borrows context and acceptor.
#ifndef KEYSTONE_NET_EVENT_LOOPS_H_
#define KEYSTONE_NET_EVENT_LOOPS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "base/status.h"
#include "net/acceptor.h"
#include "net/connection.h"
#include "net/event_loop.h"

namespace keystone {

class EventLoops {
 public:
  EventLoops(const ConnectionContext& context, Acceptor* acceptor)
      : context_(context), acceptor_(acceptor) {}
  ~EventLoops();  // they must have no clients any more
  EventLoops(const EventLoops&) = delete;
  EventLoops& operator=(const EventLoops&) = delete;

  // Starts `count` of them; the acceptor must listen. kSystem: no thread, descriptors or
  // memory.
  Status Start(size_t count);

 private:
  EventLoop* HostFor(EventLoop* accepting) const;

  const ConnectionContext& context_;
  Acceptor* const acceptor_;
  std::vector<std::unique_ptr<EventLoop>> loops_;  // constant once one of them runs
};

}  // namespace keystone

#endif  // KEYSTONE_NET_EVENT_LOOPS_H_
