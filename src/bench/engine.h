// Stores in this process, that the same operations can be measured with: keystone's and LevelDB's.
//
// An engine is owned and used by one thread. Both write without waiting for the disk: keystone with
// fsync=no, LevelDB with its defaults.
#ifndef KEYSTONE_BENCH_ENGINE_H_
#define KEYSTONE_BENCH_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keystone {

enum class EngineKind : uint8_t { kKeystone, kLevelDb };

const char* EngineName(EngineKind kind);

// Whether this program was built with LevelDB.
bool HasLevelDb();

class Engine {
 public:
  // Opens a store in `directory`, which is made where it does not exist.
  static Result<std::unique_ptr<Engine>> Open(EngineKind kind, const std::string& directory);
  virtual ~Engine() = default;

  virtual Status Set(std::string_view key, std::string_view value) = 0;
  // Copies the value, as LevelDB can't do without.
  virtual Status Get(std::string_view key, std::string* value) = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_BENCH_ENGINE_H_
