#include "net/connection_threads.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "base/thread.h"
#include "config.h"

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kFewestWaiting = 2;
constexpr size_t kMostWaiting = 64;
constexpr milliseconds kSpareTime{1000};
constexpr milliseconds kForever{-1};

class ThreadAttributes {
 public:
  ThreadAttributes() {
    pthread_attr_init(&attributes_);
    pthread_attr_setdetachstate(&attributes_, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes_, size_t{CONNECTION_STACK_KIB} * 1024);
  }
  ThreadAttributes(const ThreadAttributes&) = delete;
  ThreadAttributes& operator=(const ThreadAttributes&) = delete;
  ~ThreadAttributes() { pthread_attr_destroy(&attributes_); }

  const pthread_attr_t* get() const { return &attributes_; }

 private:
  pthread_attr_t attributes_;
};

}  // namespace

ConnectionThreads::ConnectionThreads(const ConnectionContext& context, Acceptor* acceptor)
    : context_(context), acceptor_(acceptor) {}

ConnectionThreads::~ConnectionThreads() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return running_ == 0; });
}

Status ConnectionThreads::Start() {
  Status status;
  for (size_t i = 0; i < kFewestWaiting && status.ok(); i++) status = StartThread();
  return status;
}

// It counts as waiting before it runs, so that nobody starts one more meanwhile.
Status ConnectionThreads::StartThread() {
  {
    const std::lock_guard lock(mutex_);
    running_++;
    waiting_++;
  }
  const ThreadAttributes attributes;
  pthread_t thread;
  const int error = pthread_create(&thread, attributes.get(), Main, this);
  if (error == 0) return Status::Ok();
  const std::lock_guard lock(mutex_);
  running_--;
  waiting_--;
  return Status::FromErrno("start", "a connection's thread", error);
}

void* ConnectionThreads::Main(void* self) {
  BlockSignals();
  SetBatchThread(true);
  static_cast<ConnectionThreads*>(self)->Run();
  return nullptr;
}

void ConnectionThreads::Run() {
  do {
    const Registry::Membership client = Next();
    if (!client.valid()) break;
    ServeClient(context_, client);
  } while (Return());
  const std::lock_guard lock(mutex_);
  if (--running_ == 0) ended_.notify_one();
}

// A client to be served, while other threads wait for the next; none where this one is to end.
Registry::Membership ConnectionThreads::Next() {
  const auto until = Clock::now() + kSpareTime;
  while (!acceptor_->stopped()) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    Registry::Membership client =
        acceptor_->Accept(IsSpare() ? std::max(left, milliseconds{0}) : kForever);
    if (client.valid() && MakeWay(client)) return client;
    if (Clock::now() >= until && LeaveIfSpare()) return {};
  }
  const std::lock_guard lock(mutex_);
  waiting_--;
  return {};
}

// False where nobody else would wait for clients: then this one has been refused.
bool ConnectionThreads::MakeWay(const Registry::Membership& client) {
  {
    const std::lock_guard lock(mutex_);
    if (--waiting_ >= kFewestWaiting) return true;
  }
  const Status started = StartThread();
  if (started.ok()) return true;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_ > 0) return true;
    waiting_++;
  }
  acceptor_->Refuse(client, started);
  return false;
}

// False where enough threads wait.
bool ConnectionThreads::Return() {
  const std::lock_guard lock(mutex_);
  if (waiting_ >= kMostWaiting) return false;
  waiting_++;
  return true;
}

bool ConnectionThreads::IsSpare() {
  const std::lock_guard lock(mutex_);
  return waiting_ > kFewestWaiting;
}

bool ConnectionThreads::LeaveIfSpare() {
  const std::lock_guard lock(mutex_);
  if (waiting_ <= kFewestWaiting) return false;
  waiting_--;
  return true;
}

}  // namespace keystone
