// What a connection remembers of its client from one request to the next.
#ifndef KEYSTONE_NET_CLIENT_STATE_H_
#define KEYSTONE_NET_CLIENT_STATE_H_

#include <cstdint>
#include <string>

namespace keystone {

struct ClientState {
  uint64_t id = 0;   // of the connection; none has had it before
  std::string name;  // as the client has set it
};

}  // namespace keystone

#endif  // KEYSTONE_NET_CLIENT_STATE_H_
