// A write that depends on what its key holds where the write is ordered: the condition of a SET NX,
// the sum of an INCR. And a read at that place.
//
// The log gets what was decided, a plain record, so replaying it decides nothing again.
#ifndef KEYSTONE_STORE_UPDATE_H_
#define KEYSTONE_STORE_UPDATE_H_

#include <cstdint>
#include <string_view>

namespace keystone {

// What a value is stored with.
struct Attributes {
  uint32_t client_flags = 0;   // a client's own; the store only keeps them
  uint64_t expires_at_ms = 0;  // Unix time; 0: never

  bool operator==(const Attributes&) const = default;
  bool empty() const { return client_flags == 0 && expires_at_ms == 0; }
};

// What a key holds: by the writes before, those of the same batch included. What has expired does
// not exist.
struct Held {
  bool exists = false;
  std::string_view value{};
  Attributes attributes{};
  uint64_t sequence = 0;  // of its record; 0 where there is none, or it is being written just now
};

struct Effect {
  enum class Kind : uint8_t {
    kNone,    // the key stays as it is
    kSet,     // it gets value and attributes
    kDelete,  // it goes
    kSkip,    // as kNone, and the operations that this one guards take no effect either
  };

  Kind kind = Kind::kNone;
  // What it points to must stay until Store::Apply has returned; Held::value of any operation of
  // the batch does so.
  std::string_view value{};
  Attributes attributes{};
};

class Update {
 public:
  virtual ~Update() = default;

  // Called within Store::Apply by whichever thread commits, while all other writers wait: it must
  // be quick, call nothing of the store, and depend on `held` alone. It may be called again, when
  // the first attempt could not be written: the last call counts.
  virtual Effect Decide(const Held& held) = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_UPDATE_H_
