// What a server may send to keystone-cli, and how that writes and reads keys and values.
//
//   0  1  choices, below
//   1     what the server sends; and a key or value
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"
#include "cli/client.h"
#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

enum Choice : uint8_t { kWithLines = 1, kAsk = 2 };

constexpr size_t kMostBytes = 16 << 10;  // fits a socket's buffer

// A server that accepts one connection, sends what it is told, and hangs up.
class Server {
 public:
  Server() : path_(scratch_.File("s")), listening_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    Require(path_.size() < sizeof address.sun_path, "TMPDIR is not too long");
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    Require(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                ::listen(listening_.get(), 8) == 0,
            "a socket can be made");
  }

  Result<Client> Connect() const { return Client::Connect({.socket_path = path_}); }

  void SendAndHangUp(std::string_view bytes) const {
    const Fd peer(::accept(listening_.get(), nullptr, nullptr));
    Require(peer.valid(), "the client has connected");
    const ssize_t sent = ::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    Require(sent == static_cast<ssize_t>(bytes.size()), "the socket takes all");
  }

 private:
  Scratch scratch_;
  const std::string path_;
  const Fd listening_;
};

// Takes replies until they end. Each line that was sent is in one of them.
void Read(const Server& server, std::string_view bytes, uint8_t choice) {
  auto client = server.Connect();
  Require(client.ok(), "the client connects: " + client.status().message());
  server.SendAndHangUp(bytes);
  size_t taken = 0;
  for (;;) {
    const bool asks = (choice & kAsk) != 0 && taken == 0;
    const auto reply =
        asks ? client.value().Ask("SCAN 0") : client.value().ReadReply((choice & kWithLines) != 0);
    if (!reply.ok()) break;
    taken += reply.value().first.size() + 1;
    for (const std::string& line : reply.value().lines) taken += line.size() + 1;
    Require(taken <= bytes.size(), "no more is taken than was sent");
    const std::string_view text = ReplyText(reply.value().first);
    Require(text.size() <= reply.value().first.size(), "a text is part of its line");
    (void)IsError(reply.value().first);
    (void)DecodeText(text);
  }
}

void CheckRoundTrip(std::string_view bytes) {
  std::string key;
  AppendRequestKey(bytes, &key);
  Require(key.find_first_of("\n ") == key.npos, "a key is one word");
  auto decoded = DecodeText(key);
  Require(decoded.ok() && decoded.value() == bytes, "a key is read as it was written");
  std::string value;
  AppendRequestValue(bytes, &value);
  Require(value.find('\n') == value.npos, "a value is on one line");
  decoded = DecodeText(value);
  Require(decoded.ok() && decoded.value() == bytes, "a value is read as it was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Server server;
  if (size > kMostBytes) return 0;
  Input input(data, size);
  const uint8_t choice = input.Byte();
  Read(server, input.Rest(), choice);
  CheckRoundTrip(input.Rest());
  return 0;
}
