// A write that depends on what its key holds where the write is ordered: the condition of a SET NX,
// the sum of an INCR. And a read at that place.
//
// The log gets what was decided, a plain record, so replaying it decides nothing again.
#ifndef KEYSTONE_STORE_UPDATE_H_
#define KEYSTONE_STORE_UPDATE_H_

#include <cstdint>
#include <string_view>

#include "store/attributes.h"

namespace keystone {

// What a key holds: by the writes before, those of the same batch included. What has expired does
// not exist.
//
// Where a value is not needed (see Needs), nothing is said of it or of its attributes.
struct Held {
  bool exists = false;
  std::string_view value{};
  Attributes attributes{};
  uint64_t sequence = 0;  // of its record; 0 where there is none, or it has none yet: it is being
                          // written by the same batch, or by one that is committed with it
};

// What an update is to be told.
enum class Needs : uint8_t {
  kValue,     // all of Held; where the value is damaged, the update fails
  kPresence,  // whether the key exists, and the sequence of its record; the value is not read, so
              // it may be damaged, unless the record says that it has expired: that has to be
              // certain
  kClaim,     // as kPresence, but that it has expired is believed: for who has had it checked
};

struct Effect {
  enum class Kind : uint8_t {
    kNone,    // the key stays as it is
    kSet,     // it gets value and attributes
    kDelete,  // it goes; where it has expired, for good: whatever the clock does then
    kSkip,    // as kNone, and the operations that this one guards take no effect either
  };

  Kind kind = Kind::kNone;
  // What it points to must stay until Store::Apply has returned; Held::value of any operation of
  // the same batch stays long enough.
  std::string_view value{};
  Attributes attributes{};
};

class Update {
 public:
  virtual ~Update() = default;

  // Called within Store::Apply by whichever thread commits, while all other writers wait: it must
  // be quick, call nothing of the store, and depend on `held` alone. It may be called again, when
  // the first attempt could not be written: the last call counts. May throw std::bad_alloc, which
  // makes the batch fail (kSystem).
  virtual Effect Decide(const Held& held) = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_UPDATE_H_
