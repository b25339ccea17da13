// The threads of connections: each accepts a client, serves it, and accepts the next.
//
// Some always wait for a client. To start a thread takes longer than to serve a client that asks
// for one thing, so those that have served theirs wait for another, not too many and not for long.
#ifndef KEYSTONE_NET_CONNECTION_THREADS_H_
#define KEYSTONE_NET_CONNECTION_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "base/status.h"
#include "net/acceptor.h"
#include "net/connection.h"
#include "net/registry.h"

namespace keystone {

class ConnectionThreads {
 public:
  // One thread only, like Start and the destructor. Borrows both.
  ConnectionThreads(const ConnectionContext& context, Acceptor* acceptor);
  // Waits for the threads: the acceptor must be stopped, and all connections must be about to end.
  ~ConnectionThreads();
  ConnectionThreads(const ConnectionThreads&) = delete;
  ConnectionThreads& operator=(const ConnectionThreads&) = delete;

  // Serves clients from now on. kSystem: there is no thread.
  Status Start();

 private:
  static void* Main(void* self);
  void Run();
  Registry::Membership Next();
  bool MakeWay(const Registry::Membership& client);
  bool Return();
  bool IsSpare();
  bool LeaveIfSpare();
  Status StartThread();

  const ConnectionContext& context_;
  Acceptor* const acceptor_;
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t running_ = 0;  // guarded by mutex_
  size_t waiting_ = 0;  // guarded by mutex_; of those, without a client, or about to be
};

}  // namespace keystone

#endif  // KEYSTONE_NET_CONNECTION_THREADS_H_
