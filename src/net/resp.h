// RESP2, the protocol of Redis: arrays of bulk strings to requests, replies to bytes
// (keystone-protocol(7)).
//
// Functions of bytes; a parser is used by one thread at a time, the functions by any.
#ifndef KEYSTONE_NET_RESP_H_
#define KEYSTONE_NET_RESP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace keystone {

// The first byte of a request in RESP; any other one begins a line.
inline constexpr char kRespRequest = '*';

// Cuts one request after the other from what a client has sent. What arrives in pieces is gone
// through twice at most, however many they are. Memory: 16 bytes a word of the request that is
// complete; nothing is allocated for the words of an unfinished one, nor, in the steady state, for
// those of small ones.
class RespParser {
 public:
  enum class Progress : uint8_t {
    kNeedMore,  // the request is unfinished
    kRequest,   // it is complete
    kError,     // the client does not speak RESP: answer error(), then close
  };

  // More is an error: each one costs about 100 bytes more once it is a key to be deleted.
  static constexpr size_t kMaxWords = size_t{256} * 1024;

  // A word of more than `max_word_size` bytes is an error, as is a request that would take more
  // than `max_request_size` in all, as soon as its length has been read.
  RespParser(size_t max_word_size, size_t max_request_size)
      : max_word_size_(max_word_size), max_request_size_(max_request_size) {}

  // `input` begins with kRespRequest, or is empty. While the answer is kNeedMore, the next call's
  // begins with the same bytes and goes on behind them; it may lie elsewhere. After a kRequest the
  // next call is about the next request; a kError stays one until Reset.
  Progress Next(std::string_view input);

  // After a kRequest, until the next call of Next, DropWords or Reset. A request without words is
  // to be ignored.
  size_t size() const { return position_; }  // bytes of the input that it took
  std::span<const std::string_view> words() const { return words_; }  // point into the input

  // After a kError, as Redis words it: "Protocol error: ...".
  const std::string& error() const { return error_; }

  // Once a request's words are not needed any more: gives back their memory, if it is much.
  void DropWords();

  void Reset();  // forgets an unfinished request, or an error

 private:
  Progress Advance(std::string_view input, bool keep_words);
  void StartOver();
  bool ReadCount(std::string_view input);
  bool ReadWordSize(std::string_view input);
  bool ReadLongWordSize(std::string_view input, size_t* size);
  bool ReadLine(std::string_view input, const char* too_long, std::string_view* line);
  bool Fail(std::string_view why);

  const size_t max_word_size_;
  const size_t max_request_size_;
  size_t position_ = 0;  // of the first byte that is not understood yet
  size_t searched_ = 0;  // no line ends between position_ and here, where that is behind it
  size_t words_left_ = 0;
  std::optional<size_t> word_size_;  // of the word at position_, once known
  bool finished_ = false;            // the request was handed out
  std::vector<std::string_view> words_;
  std::string error_;
};

// For looking ahead: the key where `input` begins with a complete GET of one, else empty. `size` is
// how many bytes the request takes, whatever it is; 0 where it is unfinished, or not a small one.
std::string_view KeyOfRespGet(std::string_view input, size_t* size);

// An integer as Redis reads one: decimal, no plus, no leading zeros, nothing around it.
bool ParseRespInteger(std::string_view text, int64_t* number);

// The replies' parts. Text of simple strings and errors becomes one line, whatever it holds; that
// of an error begins with its code: "ERR syntax error".
void AppendRespSimple(std::string_view text, std::string* out);
void AppendRespError(std::string_view text, std::string* out);
void AppendRespInteger(int64_t number, std::string* out);
void AppendRespBulk(std::string_view bytes, std::string* out);
void AppendRespBulkHeader(size_t size, std::string* out);  // the bytes and CRLF follow
void AppendRespNil(std::string* out);                      // in place of a bulk string
void AppendRespNilArray(std::string* out);                 // in place of an array
void AppendRespArrayHeader(size_t count, std::string* out);

}  // namespace keystone

#endif  // KEYSTONE_NET_RESP_H_
