#include "net/outgoing.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace keystone {

namespace {

constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;

iovec Piece(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

size_t OutgoingSize(std::string_view text, std::span<const PlacedValue> values) {
  size_t size = text.size();
  for (const PlacedValue& value : values) size += value.pinned.value().size();
  return size;
}

// A value is the last of what one call sends, so that nobody gets what ends it before it is known
// to have been good.
ssize_t SendOutgoing(int fd, std::string_view text, std::span<const PlacedValue> values,
                     size_t sent) {
  size_t start = 0;  // of the text that is left
  for (const PlacedValue& placed : values) {
    const std::string_view before = text.substr(start, placed.position - start);
    const std::string_view value = placed.pinned.value();
    if (sent >= before.size() + value.size()) {
      sent -= before.size() + value.size();
      start = placed.position;
      continue;
    }
    const size_t of_text = std::min(sent, before.size());
    const std::array<iovec, 2> pieces{Piece(before.substr(of_text)),
                                      Piece(value.substr(sent - of_text))};
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    const ssize_t size = ::sendmsg(fd, &message, kFlags);
    const bool ends_it =
        size > 0 && static_cast<size_t>(size) == pieces[0].iov_len + pieces[1].iov_len;
    if (!ends_it || !placed.pinned.spoilt()) return size;
    errno = EIO;
    return -1;
  }
  const std::string_view rest = text.substr(start + sent);
  return ::send(fd, rest.data(), rest.size(), kFlags);
}

int Unacknowledged(int fd) {
  int bytes = 0;
  return ::ioctl(fd, TIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

}  // namespace keystone
