// A client's conversation with a session on a store of its own, for the groups of tests that hold
// one: what a connection does, without a socket.
#ifndef KEYSTONE_TESTS_UNIT_NET_CONVERSATION_H_
#define KEYSTONE_TESTS_UNIT_NET_CONVERSATION_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "faults.h"
#include "net/session.h"
#include "scratch.h"

namespace keystone {

class RecordingHost : public SessionHost {
 public:
  std::vector<std::string> StatsLines() override { return stats; }
  void ClearLater(std::chrono::milliseconds delay) override { clear_later = delay; }
  void OnHttpRequest(std::string_view first_line) override { http_lines.emplace_back(first_line); }
  uint64_t ClientId() override { return 42; }
  bool StartCompaction() override { return compactions++ == 0; }

  std::vector<std::string> stats;
  std::chrono::milliseconds clear_later{-1};
  std::vector<std::string> http_lines;
  int compactions = 0;
};

class Conversation : public Utest {
 public:
  explicit Conversation(Protocol protocol = Protocol::kLine) : protocol_(protocol) {}

  void setup() override {
    OpenStore();
    NewSession();
  }

  void teardown() override { faults::Clear(); }

  void OpenStore() {
    auto opened = Store::Open({.directory = scratch.path(), .fsync = FsyncPolicy::kNo}, log);
    CHECK_TRUE(opened.ok());
    store = std::move(opened.value());
  }

  void NewSession() {
    waiting.clear();
    session = std::make_unique<Session>(store.get(), &limits, &host, &counters, protocol_);
  }

  // The bytes that go out.
  static std::string Sent(Session* from, std::string_view replies) {
    std::string sent;
    size_t taken = 0;
    for (const PlacedValue& placed : from->placed()) {
      sent.append(replies.substr(taken, placed.position - taken)).append(placed.pinned.value());
      taken = placed.position;
    }
    from->placed().clear();
    return sent.append(replies.substr(taken));
  }

  // Consume, and what that leaves to do.
  size_t Consume(Session* with, std::string_view input, std::string* replies) {
    Writes writes;
    const size_t used = with->Consume(input, &writes, replies);
    if (!writes.empty()) {
      commits++;
      store->Apply(writes.batches());
      with->Committed(&writes, replies);
    }
    if (with->is_slow()) with->ExecuteSlow(replies);
    *replies = Sent(with, *replies);
    return used;
  }

  // Offers what is left over together with each new piece.
  std::string Feed(const std::vector<std::string_view>& pieces) {
    std::string sent;
    for (const std::string_view piece : pieces) {
      waiting += piece;
      do {
        std::string replies;
        waiting.erase(0, Consume(session.get(), waiting, &replies));
        sent += replies;
      } while (session->has_more());
    }
    return sent;
  }

  // A new session says what is expected, wherever its input is cut in two.
  void CheckHoweverCut(const std::string& expected, std::string_view input) {
    for (size_t cut = 0; cut <= input.size(); ++cut) {
      NewSession();
      STRCMP_EQUAL(expected.c_str(), Feed({input.substr(0, cut), input.substr(cut)}).c_str());
    }
  }

  Scratch scratch;
  Log log{Log::Sink::kStderr, Priority::kCritical};
  std::unique_ptr<Store> store;
  Limits limits;
  RecordingHost host;
  Counters counters;
  std::unique_ptr<Session> session;
  std::string waiting;  // what was offered and not used up
  size_t commits = 0;

 private:
  const Protocol protocol_;
};

}  // namespace keystone

#endif  // KEYSTONE_TESTS_UNIT_NET_CONVERSATION_H_
