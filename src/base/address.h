// Where to listen or to connect, as people write it: HOST:PORT, [V6]:PORT or unix:PATH.
//
// Plain values; the functions are pure and resolve no names.
#ifndef KEYSTONE_BASE_ADDRESS_H_
#define KEYSTONE_BASE_ADDRESS_H_

#include <string>
#include <string_view>

#include "base/status.h"

namespace keystone {

struct Address {
  enum class Kind { kTcp, kUnix };

  Kind kind = Kind::kTcp;
  std::string host;  // kTcp: a name or a number, without brackets
  std::string port;  // kTcp: decimal, 0 to 65535, without leading zeros
  std::string path;  // kUnix: as written, relative or absolute, short enough for sockaddr_un
};

// kInvalid, with a message that quotes `text`, for anything else than the three forms.
Result<Address> ParseAddress(std::string_view text);

// The text that ParseAddress reads as `address`.
std::string ToString(const Address& address);

}  // namespace keystone

#endif  // KEYSTONE_BASE_ADDRESS_H_
