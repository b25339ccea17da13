// The world's gate: every command passes it, a stop-the-world compaction closes it.
//
// Thread-safe. Passing costs two atomic operations on a cache line that few threads share. A closer
// has priority: once Close is called, nobody new passes. Not recursive: a thread that has passed
// must leave before it passes again, or a closer between the two would wait for ever; and it must
// not call Close or Drain.
//
// Drain is the grace period of read-copy-update (P. McKenney, J. Slingwine, 1998), with the two
// sets of counters of its sleepable form: what nobody could find any more when it was called is
// used by nobody once it returns.
#ifndef KEYSTONE_STORE_GATE_H_
#define KEYSTONE_STORE_GATE_H_

#include <array>
#include <atomic>
#include <chrono>
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
    explicit Pass(Gate* gate) : gate_(gate), inside_(gate->Enter()) {}
    Pass(Pass&& other) noexcept
        : gate_(std::exchange(other.gate_, nullptr)), inside_(other.inside_) {}
    Pass& operator=(Pass&& other) noexcept {
      std::swap(gate_, other.gate_);
      std::swap(inside_, other.inside_);
      return *this;
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->Leave(inside_);
    }

   private:
    Gate* gate_ = nullptr;
    std::atomic<int64_t>* inside_ = nullptr;
  };

  // Returns once everybody who was inside has left. Open is called by the same thread.
  void Close();
  void Open();

  // Returns once everybody who was inside when it was called has left; nobody is kept out. Waits
  // while somebody else has the gate closed.
  void Drain();

  // The same, but gives up after so long: then false, and nothing is known.
  bool DrainWithin(std::chrono::milliseconds patience);

 private:
  struct alignas(64) Lane {
    std::array<std::atomic<int64_t>, 2> inside{};  // by the side they came in on
  };

  static constexpr unsigned kClosed = 1;
  static constexpr unsigned kSide = 2;  // set: who comes in counts on side 1

  // Waits while the gate is closed; returns where the thread was counted, and is to be taken off.
  std::atomic<int64_t>* Enter();
  void Leave(std::atomic<int64_t>* inside);
  bool Empty(size_t side) const;
  template <class WaitUntil>
  bool Drain(const WaitUntil& wait_until);

  std::array<Lane, 16> lanes_;
  std::atomic<unsigned> state_{0};
  std::atomic<bool> watched_{false};  // who leaves has to say so
  std::mutex changer_;                // held from Close to Open, and by Drain; taken before mutex_
  std::mutex mutex_;
  std::condition_variable changed_;  // the gate was opened, or someone left while it was watched
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_GATE_H_
