// One client's conversation: bytes in, replies out. Knows no socket, so that any way of waiting for
// bytes can drive it.
//
// One thread at a time. Borrows everything it is given for its whole life.
#ifndef KEYSTONE_NET_SESSION_H_
#define KEYSTONE_NET_SESSION_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/client_state.h"
#include "net/command.h"
#include "net/counters.h"
#include "net/limits.h"
#include "net/line.h"
#include "net/outgoing.h"
#include "net/reply_writer.h"
#include "net/resp.h"
#include "net/transaction.h"
#include "net/writes.h"
#include "store/store.h"

namespace keystone {

// What a session needs of the daemon around it. Thread-safe.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // The lines of STATS, "name value" each.
  virtual std::vector<std::string> StatsLines() = 0;
  // The store is to be cleared then, instead of when it was to be before; 0: not at all.
  virtual void ClearLater(std::chrono::milliseconds delay) = 0;
  // A client spoke HTTP; `first_line` is raw client bytes, not yet escaped.
  virtual void OnHttpRequest(std::string_view first_line) = 0;
  // Of the connection; none has had it before, nor will have it.
  virtual uint64_t ClientId() = 0;
  // An online compaction, which somebody else waits for. False: there is one already.
  virtual bool StartCompaction() = 0;
};

class Session {
 public:
  // `protocol` is kMemcached or kLine, which stands for RESP, too.
  Session(Store* store, const Limits* limits, SessionHost* host, Counters* counters,
          Protocol protocol = Protocol::kLine);
  ~Session();

  // Executes the complete requests at the start of `input`, appends their replies to `replies` and
  // returns how many bytes it has used up. Unless has_more(), what is left over is an unfinished
  // request: call again with it and more bytes behind it.
  //
  // Writes that follow each other are queued in `writes`, which must be empty before, transactions
  // included. Where it is not afterwards, have the store apply its batches and call Committed
  // before anything else; until
  // then `input` stays where it is. Likewise ExecuteSlow where is_slow().
  size_t Consume(std::string_view input, Writes* writes, std::string* replies);

  // The key, as the client wrote it, where `input` begins with a complete GET, else empty. `size`
  // is how many bytes the first request takes; 0 where that can't be told cheaply.
  static std::string_view KeyOfGet(std::string_view input, size_t* size);
  // The same for this session, whatever protocol it has.
  std::string_view NextGet(std::string_view input, size_t* size) const;

  // Takes up the replies to the writes, whose batches have been applied, and clears them.
  void Committed(Writes* writes, std::string* replies);

  // Consume stopped before the end of the complete requests, because the replies were full, writes
  // have to be committed first, a command is slow or others shall have their turn: call it again
  // without waiting for more bytes.
  bool has_more() const { return has_more_; }

  // The last request used up takes long and is not executed yet. ExecuteSlow may be called on any
  // thread.
  bool is_slow() const { return slow_ != nullptr; }
  void ExecuteSlow(std::string* replies);
  void RefuseSlow(const Status& why, std::string* replies);  // instead

  // Large values that belong between the replies which were appended since this was cleared, to be
  // sent with them from where they are.
  std::vector<PlacedValue>& placed() { return placed_; }

  // Bytes of `replies`, with placed values. From kReplyFlushSize on they are to be sent first.
  bool IsFull(std::string_view replies) const {
    return OutgoingSize(replies, placed_) >= kReplyFlushSize;
  }

  // True once the conversation is over: send the replies, then close.
  bool closing() const { return closing_; }

  static constexpr size_t kReplyFlushSize = 256 * 1024;

 private:
  // From this size on, to keep a value's segment costs less than to copy the value.
  static constexpr size_t kPlacedSize = size_t{64} << 10;

  // What stands at the front of the input.
  struct Parsed {
    enum class State : uint8_t {
      kUnfinished,
      kNothing,  // to be skipped
      kRequest,
      kEnd,      // of a line that fetches, whose keys were requests each
      kRefused,  // status says why, or `bytes` are the words of memcached
      kHttp,
      kBroken,  // refused, and what follows can't be understood
    };

    State state = State::kUnfinished;
    Protocol protocol = Protocol::kLine;
    std::string_view bytes;  // all of it
    size_t size = 0;         // of the input that it takes
    Request request;
    Status status;
  };

  void Parse(std::string_view input, Parsed* parsed);
  void ParseLineAt(std::string_view input, Parsed* parsed);
  void ParseLineText(std::string_view text, Parsed* parsed);
  void ParseRespAt(std::string_view input, Parsed* parsed);
  void ParseMemcachedAt(std::string_view input, Parsed* parsed);
  Status ParseKept(KeptRequest* kept) const;

  // Has the store fetch what the GETs among the next requests of `rest` will read; returns how many
  // bytes those requests take.
  size_t FetchAhead(std::string_view rest);

  // These return false where the request has to come again: once the writes are committed, or the
  // replies sent.
  bool Handle(const Parsed& parsed, Writes* writes, std::string* replies);
  bool Execute(const Parsed& parsed, Writes* writes, std::string* replies);
  void Queue(const Request& request, Protocol protocol, Writes* writes);
  bool LookUp(const Request& request, const ReplyForm& form, std::string* replies);
  void LookUpOne(const Request& request, const ReplyForm& form, std::string* replies);
  bool LookUpEach(const Request& request, const ReplyForm& form, std::string* replies);
  void LookUpSum(const Request& request, const ReplyForm& form, std::string* replies);
  void FetchWords(Words words, size_t next);

  bool HasEnough(const Writes& writes) const;
  bool GoesBehind(const Parsed& parsed, const Writes& writes) const;
  bool Append(const ReplyForm& form, Reply* reply, std::string* replies);
  void LookAt(std::string_view key, const Request& request, Reply* reply);
  void Refuse(const Parsed& parsed, std::string* replies);  // answers what the client did wrong

  // A client of memcached's protocol; see memcached_session.cc.
  struct Memcached;
  static void RefuseMemcached(const Parsed& parsed, std::string* replies);
  void TookMemcached();
  bool EndFetch(std::string* replies);
  bool FetchAndTouch(const Parsed& parsed, Writes* writes, std::string* replies);
  void NoteFetched(bool well);
  void NoteCommitted(const PendingReply& pending, const Reply& reply);

  void AnswerWrite(const PendingReply& pending, std::string* replies);

  bool in_transaction() const { return transaction_ != nullptr && transaction_->begun(); }
  void Converse(const Parsed& parsed, Reply* reply);
  void Watch(const Request& request, Reply* reply);
  void Enqueue(const Parsed& parsed, std::string* replies);
  bool Commits(const Command& command) const;  // a transaction that is to be executed
  void Commit(const Parsed& parsed, Writes* writes);
  void QueuePart(KeptRequest* kept, Writes* writes);
  void RefuseCommit(Protocol protocol, Reply* reply);
  void AnswerTransaction(const PendingReply& whole, Transaction* transaction, std::string* replies);
  void AnswerPart(std::span<const Operation> operations, const KeptRequest& kept, Reply* reply);

  const Limits* const limits_;
  ClientState client_;
  const Environment environment_;
  RespParser resp_;
  DecodedBytes decoded_;                  // what queued requests and the one at work point to
  std::unique_ptr<KeptRequest> slow_;     // waits for ExecuteSlow
  std::unique_ptr<Memcached> memcached_;  // nullptr: it speaks another protocol
  std::unique_ptr<Transaction> transaction_;
  std::vector<std::unique_ptr<Transaction>> committing_;  // until their writes are committed
  size_t committing_bytes_ = 0;
  std::vector<PlacedValue> placed_;
  size_t searched_ = 0;   // bytes of the unfinished line that hold no LF
  size_t fetched_ = 0;    // bytes of what is left over that FetchAhead has seen
  size_t next_word_ = 0;  // of a request that looks at many
  bool has_more_ = false;
  bool yields_ = false;  // Consume shall stop behind this command
  bool closing_ = false;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_SESSION_H_
