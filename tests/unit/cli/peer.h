// The other end of a client's connection, in the test's own hands.
#ifndef KEYSTONE_TESTS_UNIT_CLI_PEER_H_
#define KEYSTONE_TESTS_UNIT_CLI_PEER_H_

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "base/fd.h"
#include "cli/client.h"

class Peer {
 public:
  explicit Peer(const std::string& path) : listener_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    endpoint_.socket_path = path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    LONGS_EQUAL(0, ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
    LONGS_EQUAL(0, ::listen(listener_.get(), 1));
  }

  keystone::Client Connect() {
    auto client = keystone::Client::Connect(endpoint_);
    CHECK_TRUE(client.ok());
    connection_.reset(::accept(listener_.get(), nullptr, nullptr));
    return std::move(client.value());
  }

  ~Peer() { Join(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // At once, whatever was asked.
  void Say(std::string_view bytes) const {
    LONGS_EQUAL(bytes.size(), ::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  void HangUp() { connection_.reset(); }

  // A reply to each request that comes from now on, until the client goes or there are no more.
  void AnswerEach(const std::vector<std::string>& replies) {
    Join();
    thread_ = std::thread([this, replies] {
      for (const std::string& reply : replies) {
        if (!HearLine()) return;
        (void)!::send(connection_.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
      }
    });
  }

  // All that has come; to be asked once there is a reply to each request.
  std::string Heard() {
    Join();
    std::string heard = std::exchange(heard_, {});
    char bytes[4096];
    ssize_t n;
    while ((n = ::recv(connection_.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
      heard.append(bytes, static_cast<size_t>(n));
    }
    return heard;
  }

 private:
  bool HearLine() {
    char byte = 0;
    while (byte != '\n') {
      if (::recv(connection_.get(), &byte, 1, 0) != 1) return false;
      heard_ += byte;
    }
    return true;
  }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  keystone::Endpoint endpoint_;
  keystone::Fd listener_;
  keystone::Fd connection_;
  std::string heard_;  // by the thread
  std::thread thread_;
};

#endif  // KEYSTONE_TESTS_UNIT_CLI_PEER_H_
