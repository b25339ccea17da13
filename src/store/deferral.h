// For a thread that need not wait until what it applies is committed.
#ifndef KEYSTONE_STORE_DEFERRAL_H_
#define KEYSTONE_STORE_DEFERRAL_H_

#include <functional>
#include <memory>

namespace keystone {

class Batch;
struct Waiter;

// Serves one Store::ApplyOrDefer after the other, of one thread at a time; must not go before what
// was deferred has been applied.
class Deferral {
 public:
  // `on_applied` is called on the thread of somebody else who applies: it must be short, since that
  // one's own batch is done and it waits for it, must not throw and must not call the store.
  explicit Deferral(std::function<void()> on_applied);
  ~Deferral();
  Deferral(const Deferral&) = delete;
  Deferral& operator=(const Deferral&) = delete;

 private:
  friend class Store;

  Batch* batch_ = nullptr;
  const std::unique_ptr<Waiter> waiter_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_DEFERRAL_H_
