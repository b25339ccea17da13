// A closed-loop load: a fixed number of connections to one server, each of which sends a batch of
// requests, waits for all replies, and sends the next.
//
// One thread drives all connections with epoll. The latency of a request is the time from before
// its batch was sent to after its reply was received, so what waits in either socket counts. A
// request allocates nothing once the buffers have grown. Not thread-safe.
#ifndef KEYSTONE_BENCH_LOAD_H_
#define KEYSTONE_BENCH_LOAD_H_

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "bench/data.h"
#include "bench/histogram.h"
#include "bench/protocol.h"
#include "cli/endpoint.h"

namespace keystone {

struct LoadOptions {
  BenchProtocol protocol = BenchProtocol::kLine;
  size_t clients = 50;
  size_t pipeline = 1;  // requests a batch
  double seconds = 10;
  uint64_t keys = 100'000;
  size_t value_size_bytes = 100;
  uint64_t sets = 1;  // of sets + gets requests
  uint64_t gets = 9;
  bool preload = false;    // every key is there: one that is not found is wrong
  bool verify = false;     // compare each value with what is stored
  bool reconnect = false;  // a connection of its own for each batch
};

struct LoadResult {
  Histogram set;
  Histogram get;
  uint64_t found = 0;
  uint64_t not_found = 0;
  uint64_t wrong = 0;   // values, or keys, that are not what was stored
  uint64_t errors = 0;  // the server's, connections lost and requests never answered
  std::string first_problem;
  double seconds = 0;       // until the last reply
  double client_cores = 0;  // processor time that the load itself took, a second
};

class BenchLoad {
 public:
  // Connects all clients. A run ends early once `stop` can be read; nothing is read from it.
  static Result<std::unique_ptr<BenchLoad>> Connect(const LoadOptions& options,
                                                    EndpointAddresses addresses, int stop);

  // Stores every key, with a bar on a terminal. Any error ends it.
  Status Preload();

  // Runs for the time that the options say. Problems are counted in the result.
  LoadResult Run();

 private:
  struct Connection {
    Fd fd;
    bool active = false;          // sends batches in this phase
    std::vector<uint64_t> batch;  // key number << 1, and 1 for a GET
    size_t answered = 0;          // of the batch
    uint64_t sent_ns = 0;
    std::string in;   // a reply of which only the beginning is here
    std::string out;  // requests that the socket did not take; those before out_sent are gone
    size_t out_sent = 0;
  };

  BenchLoad(const LoadOptions& options, EndpointAddresses addresses, int stop);

  Status Open(Connection* connection);
  void Close(Connection* connection);
  void Drive();  // until no connection is active
  bool WaitForEvents();
  void StartBatch(Connection* connection);
  size_t NextBatchSize(uint64_t now_ns) const;
  uint64_t NextRequest();
  void Send(Connection* connection, std::string_view bytes);
  void WatchWritable(Connection* connection, bool wanted);
  void Receive(Connection* connection);
  std::string_view ReceiveBytes(Connection* connection, bool* closed);
  bool TakeReplies(Connection* connection, std::string_view bytes, size_t* taken);
  void Judge(uint64_t request, const BenchReply& reply);
  void Lose(Connection* connection, std::string_view reason);
  void Problem(uint64_t* counter, std::string_view what);
  void GiveUp();

  const LoadOptions options_;
  const EndpointAddresses addresses_;
  const BenchValues values_;
  const int stop_;
  Fd epoll_;
  std::vector<Connection> connections_;
  std::array<epoll_event, 512> events_;
  std::vector<char> receive_buffer_;
  std::string requests_;  // of the batch that is being sent

  bool preloading_ = false;
  bool stopped_ = false;
  uint64_t next_key_ = 0;  // to preload
  BenchRandom random_;
  uint64_t end_ns_ = 0;  // no batch starts after it
  uint64_t last_reply_ns_ = 0;
  size_t active_ = 0;  // connections that are
  LoadResult result_;
};

}  // namespace keystone

#endif  // KEYSTONE_BENCH_LOAD_H_
