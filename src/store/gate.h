// The world's gate: every command passes it, a stop-the-world compaction closes it.
//
// Thread-safe. Passing costs two atomic operations on a cache line that few threads share. A closer
// has priority: once Close is called, nobody new passes. Not recursive: a thread that has passed
// must leave before it passes again, or a closer between the two would wait for ever.
#ifndef KEYSTONE_STORE_GATE_H_
#define KEYSTONE_STORE_GATE_H_

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace keystone {

class Gate {
 public:
  // Held by a thread that is inside; leaves when it goes.
  class Pass {
   public:
    Pass() = default;
    explicit Pass(Gate* gate) : gate_(gate), lane_(gate->Enter()) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)), lane_(other.lane_) {}
    Pass& operator=(Pass&& other) noexcept {
      std::swap(gate_, other.gate_);
      std::swap(lane_, other.lane_);
      return *this;
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->Leave(lane_);
    }

   private:
    Gate* gate_ = nullptr;
    size_t lane_ = 0;
  };

  // Returns once everybody who was inside has left; one closer at a time.
  void Close();
  void Open();

 private:
  struct alignas(64) Lane {
    std::atomic<int64_t> inside{0};
  };

  size_t Enter();  // waits while the gate is closed; returns the lane to leave by
  void Leave(size_t lane);
  bool Empty() const;

  std::array<Lane, 16> lanes_;
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::condition_variable changed_;  // closed_ went false, or someone left while it was true
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_GATE_H_
