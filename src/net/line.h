// The line protocol: lines to requests, replies to lines (keystone-protocol(7)).
//
// Pure functions of bytes, but for decoded Base64, which needs an owner. Any thread.
#ifndef KEYSTONE_NET_LINE_H_
#define KEYSTONE_NET_LINE_H_

#include <cstddef>
#include <forward_list>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/command.h"

namespace keystone {

struct Limits;

// Owns decoded keys and values for as long as requests point to them.
using DecodedBytes = std::forward_list<std::string>;

// A line cut at its first two spaces; the views point into it.
struct Line {
  std::string_view text;             // all of it
  std::string_view word;             // the command's name as the client wrote it
  const Command* command = nullptr;  // nullptr: there is none of that name for lines
  bool has_key = false;
  std::string_view key;
  bool has_value = false;
  std::string_view value;  // the rest, spaces included
};

// `text` without the LF that ended it; a CR at its end is dropped.
Line SplitLine(std::string_view text);

// True where the line is the start of an HTTP request, or comes from one.
bool IsHttp(const Line& line);

// The request of a line that is not empty, or kInvalid with what the client did wrong. Keys and
// values that came as Base64 are added to `decoded`, the others point into the line.
Status ParseRequest(const Line& line, const Limits& limits, DecodedBytes* decoded,
                    Request* request);

// The first byte of a telnet option sequence (RFC 854).
inline constexpr char kTelnetIac = '\xff';

// How many bytes of complete option sequences `input` begins with. What follows them begins with
// kTelnetIac only where a sequence is still unfinished.
size_t TelnetPrefixSize(std::string_view input);

// A key or value as it stands in a line: itself, or "base64:" and its encoding where a line can't
// carry it or it would be misread.
void AppendKey(std::string_view key, std::string* out);
void AppendValue(std::string_view value, std::string* out);

// "OK", "NOT_FOUND" or "ERROR reason"; always one line.
void AppendLineStatus(const Status& status, std::string* out);
void AppendLineReply(const Reply& reply, std::string* out);

// What stands before a value in its reply. False, and nothing appended, where it has to be encoded.
bool AppendLineValueHead(std::string_view value, std::string* out);

// What an array's reply begins with; its items' replies follow.
void AppendLineCount(size_t count, std::string* out);

}  // namespace keystone

#endif  // KEYSTONE_NET_LINE_H_
