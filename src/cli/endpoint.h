// Where a server listens, as the client programs' -h, -p and -s say it, and connections to it.
//
// Plain values; thread-safe. Errors name the address and what to check.
#ifndef KEYSTONE_CLI_ENDPOINT_H_
#define KEYSTONE_CLI_ENDPOINT_H_

#include <sys/socket.h>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace keystone {

struct Endpoint {
  std::string host = "127.0.0.1";
  std::string port = "7878";
  std::string socket_path;  // where not empty, instead of host and port

  std::string Name() const;  // "127.0.0.1:7878", "[::1]:7878" or the path
};

// Adds -h, -p and -s, which set `endpoint`, to a program's options.
void AddEndpointOptions(boost::program_options::options_description* options, Endpoint* endpoint);
// "" where what was given of them names an endpoint, else what is wrong with it.
std::string CheckEndpoint(const boost::program_options::variables_map& given,
                          const Endpoint& endpoint);

// The addresses of an endpoint, looked up once, to connect to any number of times.
class EndpointAddresses {
 public:
  static Result<EndpointAddresses> Find(const Endpoint& endpoint);

  // A connection to the first address that takes it.
  Result<Fd> Connect() const;

 private:
  struct SocketAddress {
    sockaddr_storage bytes;
    socklen_t size;
  };

  EndpointAddresses(Endpoint endpoint, std::vector<SocketAddress> found)
      : endpoint_(std::move(endpoint)), addresses_(std::move(found)) {}

  Result<Fd> ConnectTo(const SocketAddress& address) const;

  Endpoint endpoint_;
  std::vector<SocketAddress> addresses_;
};

}  // namespace keystone

#endif  // KEYSTONE_CLI_ENDPOINT_H_
