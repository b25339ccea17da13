// One client's conversation: bytes in, replies out. Knows no socket, so that any way of waiting for
// bytes can drive it.
//
// One thread at a time. Borrows everything it is given for its whole life.
#ifndef KEYSTONE_NET_SESSION_H_
#define KEYSTONE_NET_SESSION_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "net/command.h"
#include "net/counters.h"
#include "net/line.h"
#include "store/batch.h"
#include "store/store.h"

namespace keystone {

struct Limits {
  size_t max_key_size = 1024;         // bytes
  size_t max_value_size = 64u << 20;  // bytes

  // The longest line, without its LF, that is read before it is refused.
  size_t max_line_size() const { return max_key_size + max_value_size * 4 / 3 + 64; }
};

// What a session needs of the daemon around it. Thread-safe.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // The lines of STATS, "name value" each.
  virtual std::vector<std::string> StatsLines() = 0;
  // A client spoke HTTP; `first_line` is raw client bytes, not yet escaped.
  virtual void OnHttpRequest(std::string_view first_line) = 0;
};

class Session {
 public:
  Session(Store* store, const Limits* limits, SessionHost* host, Counters* counters);

  // Executes the complete requests at the start of `input`, appends their replies to `replies` and
  // returns how many bytes it has used up. What is left over is an unfinished request: call again
  // with it and more bytes behind it. Writes that follow each other are committed as one batch;
  // none is pending when it returns. It returns early once `replies` has passed kReplyFlushSize:
  // send them, then call again with what is left.
  size_t Consume(std::string_view input, std::string* replies);

  // Consume left complete requests behind because `replies` was long: call it again without
  // waiting for more bytes.
  bool has_more() const { return has_more_; }

  // True once the conversation is over: send the replies, then close.
  bool closing() const { return closing_; }

  static constexpr size_t kReplyFlushSize = 256 * 1024;

 private:
  // Finds the first line of `rest` and how many bytes of `rest` it takes with its LF. False where
  // the line is unfinished; then only the bytes before its start are taken.
  bool NextLine(std::string_view rest, std::string_view* line, size_t* taken);
  // Has the store fetch what the GETs among the next lines of `rest` will read; returns how many
  // bytes those lines take.
  size_t FetchAhead(std::string_view rest);
  void HandleLine(std::string_view text, std::string* replies);
  void Execute(const Request& request, std::string* replies);
  void Commit(std::string* replies);
  // Answers what the client did wrong, behind the replies to what came before it.
  void Refuse(const Status& status, std::string* replies);

  const Limits* const limits_;
  const Environment environment_;
  Batch batch_;           // writes not committed yet
  DecodedBytes decoded_;  // what requests in batch_ and the one at work point to
  size_t searched_ = 0;   // bytes of the unfinished line that are known to hold no LF
  bool has_more_ = false;
  bool closing_ = false;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_SESSION_H_
