// Owners of libevent's objects.
#ifndef KEYSTONE_NET_EVENT_H_
#define KEYSTONE_NET_EVENT_H_

#include <event2/bufferevent.h>
#include <event2/event.h>

#include <memory>

namespace keystone {

struct EventBaseDeleter {
  void operator()(event_base* base) const { ::event_base_free(base); }
};
struct EventDeleter {
  void operator()(event* event) const { ::event_free(event); }
};
struct BufferEventDeleter {
  void operator()(bufferevent* stream) const { ::bufferevent_free(stream); }
};
using EventBase = std::unique_ptr<event_base, EventBaseDeleter>;
using EventHandle = std::unique_ptr<event, EventDeleter>;              // must go before its base
using BufferEvent = std::unique_ptr<bufferevent, BufferEventDeleter>;  // this, too

}  // namespace keystone

#endif  // KEYSTONE_NET_EVENT_H_
