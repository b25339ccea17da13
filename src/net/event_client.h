// One client of an event loop: what a connection's thread keeps on its stack, as states.
//
// The loop's thread only; a slow command runs on a thread of its own meanwhile. An idle client
// holds no buffer: bytes are received into the loop's arena, and only an unfinished request or what
// runs ahead of unsent replies is kept here.
#ifndef KEYSTONE_NET_EVENT_CLIENT_H_
#define KEYSTONE_NET_EVENT_CLIENT_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/buffer.h"
#include "net/connection.h"
#include "net/event.h"
#include "net/listener.h"
#include "net/registry.h"
#include "net/session.h"
#include "net/turns.h"

namespace keystone {

class EventLoop;

class EventClient final : private SessionHost {
 public:
  using Clock = std::chrono::steady_clock;

  // Takes the membership.
  EventClient(EventLoop* loop, const ConnectionContext& context, Registry::Membership* membership);
  ~EventClient() override;

  // Waits for the first bytes.
  void Begin() noexcept;

  // Its turn, in this order: Execute, Committed where the turn's writes are not empty then, and
  // again while GoesOn; Finish.
  void Execute(Turn* turn);
  void Committed(Turn* turn);
  bool GoesOn(const Turn& turn) const;
  void Finish(Turn* turn);

  // The key of the GET that its turn begins with, else empty.
  std::string_view NextGet(const Turn& turn) const {
    size_t size = 0;
    return session_.NextGet(InputOf(turn).substr(turn.used), &size);
  }

  // Ends it, because it could not be served.
  void Fail(const char* reason) noexcept;

  // The slow command is over.
  void FinishSlow() noexcept;

  // Looks whether its time is up.
  void Sweep(Clock::time_point now) noexcept;

  // The loop's: its place in the list of clients, and in that of finished slow commands.
  std::list<EventClient>::iterator place;
  EventClient* next_done = nullptr;

 private:
  struct SlowCall;

  std::vector<std::string> StatsLines() override { return context_.stats_lines(); }
  void ClearLater(std::chrono::milliseconds delay) override { context_.clear_later(delay); }
  void OnHttpRequest(std::string_view first_line) override {
    context_.on_http_request(PeerName(fd()), first_line);
  }
  uint64_t ClientId() override { return membership_.id(); }
  bool StartCompaction() override { return context_.start_compaction(); }

  void Try(void (EventClient::*step)()) noexcept;
  void OnReadable();
  void OnWritable();
  void OnSlowDone();
  void OnEndOfFile();
  void Settle();
  void AwaitInput();
  void AwaitWritable();
  void StartReading();
  void StopReading();
  bool Send(std::string_view replies, size_t* sent);
  void SendAll(std::string* replies);
  void StartSlow();
  void Linger();
  void DiscardInput();
  void End();

  int fd() const { return membership_.fd(); }
  bool HasMore() const { return session_.has_more() || rest_.bytes().size() > seen_; }
  std::string_view InputOf(const Turn& turn) const;
  void KeepRest(const Turn& turn);
  void RestartRequestClock();
  bool IsLate(Clock::time_point now);
  void SetDeadline(Clock::time_point deadline);
  bool TakesReplies();

  Registry::Membership membership_;  // ends last
  EventLoop* const loop_;
  const ConnectionContext& context_;
  EventHandle readable_;
  EventHandle writable_;  // while replies are unsent
  Session session_;
  Buffer rest_;      // of the input: not used yet
  size_t seen_ = 0;  // bytes of it that the session takes for an unfinished request
  std::string unsent_;
  size_t sent_ = 0;         // bytes of unsent_, and the values placed in it, that are sent
  int unacknowledged_ = 0;  // bytes that the peer had not taken at the last look
  std::unique_ptr<SlowCall> slow_;
  Clock::time_point deadline_ = Clock::time_point::max();          // of what it waits for
  Clock::time_point request_deadline_ = Clock::time_point::max();  // of the unfinished request
  bool queued_ = false;                                            // for a turn
  bool reading_ = false;                                           // readable_ is added
  bool eof_ = false;                                               // nothing comes any more
  bool lingering_ = false;  // only waits for the peer to close
  bool ended_ = false;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_EVENT_CLIENT_H_
