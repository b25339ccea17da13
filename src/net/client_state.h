// What a connection remembers of its client from one request to the next.
#ifndef KEYSTONE_NET_CLIENT_STATE_H_
#define KEYSTONE_NET_CLIENT_STATE_H_

#include <string>

namespace keystone {

struct ClientState {
  std::string name;  // as the client has set it
};

}  // namespace keystone

#endif  // KEYSTONE_NET_CLIENT_STATE_H_
