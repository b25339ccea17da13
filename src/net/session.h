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
  // returns how many bytes it has used up. Unless has_more(), what is left over is an unfinished
  // request: call again with it and more bytes behind it.
  //
  // Writes that follow each other are queued in `batch`, which must be empty before. Where it is
  // not afterwards, have the store apply it and call Committed before anything else; until then
  // `input` stays where it is. Likewise ExecuteSlow where is_slow().
  size_t Consume(std::string_view input, Batch* batch, std::string* replies);

  // The key, as the client wrote it, where `input` begins with a complete GET, else empty.
  static std::string_view KeyOfGet(std::string_view input);

  // Takes up the replies to the writes of `batch`, which has been applied, and clears it.
  void Committed(Batch* batch, std::string* replies);

  // Consume stopped before the end of the complete requests, because `replies` had passed
  // kReplyFlushSize, writes have to be committed first, a command is slow or others shall have
  // their turn: call it again without waiting for more bytes.
  bool has_more() const { return has_more_; }

  // The last request used up takes long and is not executed yet. ExecuteSlow may be called on any
  // thread.
  bool is_slow() const { return slow_ != nullptr; }
  void ExecuteSlow(std::string* replies);
  void RefuseSlow(const Status& why, std::string* replies);  // instead

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
  // These two return false where the writes in `batch` have to be committed first.
  bool HandleLine(std::string_view text, Batch* batch, std::string* replies);
  bool RefuseTooLong(const Batch& batch, std::string* replies);
  void Execute(const Request& request, Batch* batch, std::string* replies);
  void RefuseHttp(const Line& line, std::string* replies);
  void Refuse(const Status& status, std::string* replies);  // answers what the client did wrong

  const Limits* const limits_;
  const Environment environment_;
  DecodedBytes decoded_;           // what queued requests and the one at work point to
  const Command* slow_ = nullptr;  // waits for ExecuteSlow
  size_t searched_ = 0;            // bytes of the unfinished line that are known to hold no LF
  size_t fetched_ = 0;             // bytes of what is left over that FetchAhead has seen
  bool has_more_ = false;
  bool yields_ = false;  // Consume shall stop behind this command
  bool closing_ = false;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_SESSION_H_
