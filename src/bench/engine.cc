#include "bench/engine.h"

#include <utility>

#include "base/log.h"
#include "config.h"
#include "store/store.h"

#if HAVE_LEVELDB
#include <leveldb/db.h>
#endif

namespace keystone {

namespace {

class KeystoneEngine : public Engine {
 public:
  explicit KeystoneEngine(std::unique_ptr<Store> store) : store_(std::move(store)) {}

  Status Set(std::string_view key, std::string_view value) override {
    batch_.Clear();
    batch_.Set(key, value);
    return store_->Apply(&batch_);
  }

  Status Get(std::string_view key, std::string* value) override {
    FoundValue found;
    Status status = store_->Get(key, &found);
    if (status.ok()) value->assign(found.value());
    return status;
  }

 private:
  const std::unique_ptr<Store> store_;
  Batch batch_;
};

Result<std::unique_ptr<Engine>> OpenKeystone(const std::string& directory) {
  StoreOptions options;
  options.directory = directory;
  options.fsync = FsyncPolicy::kNo;
  auto store = Store::Open(options, Log(Log::Sink::kStderr, Priority::kWarning));
  if (!store.ok()) return store.status();
  return std::unique_ptr<Engine>(std::make_unique<KeystoneEngine>(std::move(store.value())));
}

#if HAVE_LEVELDB

leveldb::Slice Slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

Status FromLevelDb(const leveldb::Status& status) {
  if (status.ok()) return Status::Ok();
  if (status.IsNotFound()) return Status::NotFound();
  return {Code::kIo, "leveldb: " + status.ToString()};
}

class LevelDbEngine : public Engine {
 public:
  explicit LevelDbEngine(std::unique_ptr<leveldb::DB> db) : db_(std::move(db)) {}

  Status Set(std::string_view key, std::string_view value) override {
    return FromLevelDb(db_->Put(leveldb::WriteOptions(), Slice(key), Slice(value)));
  }

  Status Get(std::string_view key, std::string* value) override {
    return FromLevelDb(db_->Get(leveldb::ReadOptions(), Slice(key), value));
  }

 private:
  const std::unique_ptr<leveldb::DB> db_;
};

Result<std::unique_ptr<Engine>> OpenLevelDb(const std::string& directory) {
  leveldb::Options options;
  options.create_if_missing = true;
  leveldb::DB* db = nullptr;
  const Status status = FromLevelDb(leveldb::DB::Open(options, directory, &db));
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::make_unique<LevelDbEngine>(std::unique_ptr<leveldb::DB>(db)));
}

#else

Result<std::unique_ptr<Engine>> OpenLevelDb(const std::string&) {
  return Status(Code::kInvalid, "built without LevelDB");
}

#endif

}  // namespace

const char* EngineName(EngineKind kind) {
  return kind == EngineKind::kKeystone ? "keystone" : "leveldb";
}

bool HasLevelDb() { return HAVE_LEVELDB != 0; }

Result<std::unique_ptr<Engine>> Engine::Open(EngineKind kind, const std::string& directory) {
  return kind == EngineKind::kKeystone ? OpenKeystone(directory) : OpenLevelDb(directory);
}

}  // namespace keystone
