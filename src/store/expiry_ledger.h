// How many of the index's records expire when: their number and bytes, by second.
//
// So that figures which leave out what has expired need no walk. A record counts as expired from
// the end of its second on, that is less than a second later than a reader misses it. Some 64 bytes
// for each second in which anything is to expire.
//
// Thread-safe. Knows no clock: whoever calls tells the time, which must not go back.
#ifndef KEYSTONE_STORE_EXPIRY_LEDGER_H_
#define KEYSTONE_STORE_EXPIRY_LEDGER_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <span>

namespace keystone {

// A record that expires.
struct Expiring {
  uint64_t expires_at_ms = 0;
  uint64_t size_bytes = 0;  // of the record
};

class ExpiryLedger {
 public:
  struct Sums {
    uint64_t expired_records = 0;  // still in the index
    uint64_t expired_bytes = 0;
    uint64_t expiring_records = 0;  // that will expire
    uint64_t ever_expired = 0;      // records, those that are gone by now, too
  };

  void Add(const Expiring& record);

  // Sorts `records` meanwhile.
  void AddAll(std::span<Expiring> records);

  // One that was added and is in the index no more. Nothing happens where there is none of that
  // second: damage may have changed what its record says.
  void Remove(const Expiring& record, uint64_t now_ms);

  Sums At(uint64_t now_ms);

  // The index is empty.
  void Clear();

  uint64_t memory_bytes() const;

 private:
  struct Bucket {
    uint64_t records = 0;
    uint64_t bytes = 0;
  };

  void AddToSecond(uint64_t second, const Bucket& bucket);  // with mutex_

  mutable std::mutex mutex_;
  std::map<uint64_t, Bucket> seconds_;  // guarded by mutex_; those after passed_second_
  uint64_t passed_second_ = 0;          // guarded by mutex_
  Bucket passed_;                       // guarded by mutex_; of that second and all before
  uint64_t expiring_ = 0;               // guarded by mutex_; records in seconds_
  uint64_t ever_expired_ = 0;           // guarded by mutex_
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_EXPIRY_LEDGER_H_
