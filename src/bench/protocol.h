// Requests and replies of the protocols that keystone-bench speaks: keystone-protocol(7)'s lines,
// RESP2 and memcached's text. Pure functions of bytes.
#ifndef KEYSTONE_BENCH_PROTOCOL_H_
#define KEYSTONE_BENCH_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench/data.h"

namespace keystone {

enum class BenchProtocol : uint8_t { kLine, kResp, kMemcached };
enum class BenchCommand : uint8_t { kSet, kGet };

// Append a request to `out`.
void AppendGet(BenchProtocol protocol, std::string_view key, std::string* out);
void AppendSet(BenchProtocol protocol, uint64_t key_number, const BenchValues& values,
               std::string* out);

struct BenchReply {
  enum class Kind : uint8_t {
    kPartial,   // not all of it is there
    kStored,    // to a SET; of the line protocol, to a GET as well
    kValue,     // to a GET: `text`
    kNotFound,  // to a GET
    kError,     // the server's own: `text`, one line
    kInvalid,   // nothing that answers the command in this protocol
  };

  Kind kind = Kind::kPartial;
  size_t size_bytes = 0;       // of the reply in `bytes`; 0 for kPartial and kInvalid
  std::string_view text = {};  // in `bytes`
};

// The reply to `command` that `bytes` begin with.
BenchReply ParseReply(BenchProtocol protocol, BenchCommand command, std::string_view bytes);

}  // namespace keystone

#endif  // KEYSTONE_BENCH_PROTOCOL_H_
