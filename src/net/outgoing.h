// Replies on their way to a socket: bytes, and between them large values that stay in the log.
#ifndef KEYSTONE_NET_OUTGOING_H_
#define KEYSTONE_NET_OUTGOING_H_

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "store/store.h"

namespace keystone {

// A value that belongs behind the first `position` bytes of the text.
struct PlacedValue {
  size_t position = 0;
  PinnedValue pinned;
};

// How many bytes both are together.
size_t OutgoingSize(std::string_view text, std::span<const PlacedValue> values);

// Sends some of what is behind the first `sent` bytes of both, without waiting: as send(2). EIO: a
// value could not be read while it was sent, so what the client has got of it may be wrong; nothing
// that is behind it may follow.
ssize_t SendOutgoing(int fd, std::string_view text, std::span<const PlacedValue> values,
                     size_t sent);

// Sent bytes that the peer's system has not acknowledged; 0 where nobody can tell.
int Unacknowledged(int fd);

}  // namespace keystone

#endif  // KEYSTONE_NET_OUTGOING_H_
