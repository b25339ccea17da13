#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>

extern "C" {
int __real_open(const char* path, int flags, ...);
int __real_mkdir(const char* path, mode_t mode);
ssize_t __real_write(int fd, const void* data, size_t size);
ssize_t __real_pwrite(int fd, const void* data, size_t size, off_t offset);
ssize_t __real_pwritev(int fd, const iovec* pieces, int count, off_t offset);
int __real_ftruncate(int fd, off_t size);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_rename(const char* from, const char* to);
int __real_unlink(const char* path);
ssize_t __real_read(int fd, void* data, size_t size);
ssize_t __real_pread(int fd, void* data, size_t size, off_t offset);
void* __real_mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset);
DIR* __real_opendir(const char* path);
dirent* __real_readdir(DIR* directory);
int __real_flock(int fd, int operation);
int __real_stat(const char* path, struct stat* info);
int __real_fstat(int fd, struct stat* info);
int __real_access(const char* path, int mode);
int __real_statvfs(const char* path, struct statvfs* info);
int __real_truncate(const char* path, off_t size);
ssize_t __real_getrandom(void* bytes, size_t size, unsigned flags);
// std::thread's: in libstdc++, where no call that it makes could be replaced.
void __real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
    void* thread, void* state, void (*depends)());
}

namespace crash {

namespace {

using Kind = Event::Kind;

struct Opened {
  int file;
  std::string path;
  uint64_t position = 0;  // of write(2)
};

// What is watched. Its mutex is held during each call, so that the journal's order is that of
// the calls.
struct Watched {
  std::mutex mutex;
  std::string root;  // empty: nothing is watched
  Journal journal;
  Names names;
  std::unordered_map<int, Opened> opened;  // by descriptor
  std::unordered_map<DIR*, std::string> listed;
  std::function<void(const Event&)> visit;
  int visits = 0;  // under way
  std::condition_variable visited;
  std::optional<Fault> fault;
  bool is_suspended = false;
  bool has_failed = false;
};

// Made late: what is allocated before main, CppUTest wants to free itself.
Watched& Watching() {
  static Watched watched;
  return watched;
}

thread_local bool visiting = false;

// The path below the root; nothing where it is elsewhere.
std::optional<std::string> Below(std::string_view whole) {
  const std::string& root = Watching().root;
  if (whole.ends_with("/..")) whole = ParentOf(ParentOf(whole));
  if (root.empty() || !whole.starts_with(root)) return {};
  if (whole.size() == root.size()) return "";
  if (whole[root.size()] != '/') return {};
  return std::string(whole.substr(root.size() + 1));
}

Opened* Find(int fd) {
  const auto found = Watching().opened.find(fd);
  return Watching().root.empty() || found == Watching().opened.end() ? nullptr : &found->second;
}

void Add(Event event) {
  Watching().names.Apply(event);
  Watching().journal.push_back(std::move(event));
}

// What is to become of a call.
struct Verdict {
  bool fails = false;  // errno is set
  bool halves = false;
};

Verdict Judge(Fault::Call call, std::string_view path) {
  Watched& watched = Watching();
  std::optional<Fault>& fault = watched.fault;
  const bool of_hints = path.find(".hint") != path.npos;
  if (!fault || watched.is_suspended || fault->call != call || fault->of_hints != of_hints)
    return {};
  if (fault->skip > 0) {
    fault->skip--;
    return {};
  }
  watched.has_failed = true;
  const Fault now = *fault;
  if (now.how == Fault::How::kOnce || now.how == Fault::How::kShort) fault.reset();
  if (now.how == Fault::How::kTorn) fault->how = Fault::How::kOnce;
  errno = now.error;
  const bool halves = now.how == Fault::How::kShort || now.how == Fault::How::kTorn;
  return {.fails = !halves, .halves = halves};
}

// The same for a call on a descriptor that is watched; others go well.
Verdict Judge(Fault::Call call, int fd) {
  const Opened* file = Find(fd);
  return file == nullptr ? Verdict() : Judge(call, file->path);
}

// The same for one on a path.
Verdict JudgePath(Fault::Call call, const char* path) {
  const auto name = Below(path);
  return name ? Judge(call, *name) : Verdict();
}

size_t Half(size_t size) { return (size + 1) / 2; }

// Holds the mutex during a call, and lets the visitor see what the call came to.
class Call {
 public:
  Call() : lock_(Watching().mutex), before_(Watching().journal.size()) {}
  ~Call() {
    if (visiting || !Watching().visit || Watching().journal.size() == before_) return;
    const Event event = Watching().journal.back();
    Watching().visits++;
    lock_.unlock();
    visiting = true;
    Watching().visit(event);
    visiting = false;
    lock_.lock();
    if (--Watching().visits == 0) Watching().visited.notify_all();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  const size_t before_;
};

void AddWrite(Opened* file, const iovec* pieces, int count, uint64_t offset, size_t size) {
  std::string bytes;
  for (int i = 0; i < count && bytes.size() < size; i++) {
    bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  }
  bytes.resize(size);
  Add({.kind = Kind::kWrite,
       .file = file->file,
       .path = file->path,
       .number = offset,
       .bytes = std::move(bytes)});
}

int Open(const char* path, int flags, mode_t mode) {
  const Call call;
  const auto name = Below(path);
  if (name && Judge(Fault::Call::kOpen, *name).fails) return -1;
  const int fd = __real_open(path, flags, mode);
  if (fd < 0) return fd;
  Watching().opened.erase(fd);
  if (!name) return fd;
  int file = Watching().names.Find(*name);
  if (file < 0) {
    file = Watching().names.unused();
    Add({.kind = Kind::kCreate, .file = file, .path = *name});
  } else if ((flags & O_TRUNC) != 0) {
    Add({.kind = Kind::kResize, .file = file, .path = *name});
  }
  Watching().opened[fd] = {.file = file, .path = *name};
  return fd;
}

// What the visitor before has borrowed may go once this returns.
void SetVisit(std::function<void(const Event&)> visit, std::unique_lock<std::mutex>* lock) {
  Watching().visited.wait(*lock, [] { return Watching().visits == 0; });
  Watching().visit = std::move(visit);
}

template <class Real>
int Sync(int fd, Real real) {
  const Call call;
  if (Judge(Fault::Call::kSync, fd).fails) return -1;
  const int result = real(fd);
  const Opened* file = Find(fd);
  if (result == 0 && file != nullptr) {
    Add({.kind = Kind::kSync, .file = file->file, .path = file->path});
  }
  return result;
}

}  // namespace

void Watch(const std::string& root, Journal before) {
  const std::lock_guard lock(Watching().mutex);
  Watching().root = root;
  Watching().journal = std::move(before);
  Watching().names = Names();
  for (const Event& event : Watching().journal) Watching().names.Apply(event);
  Watching().opened.clear();
}

Journal StopWatching() {
  std::unique_lock lock(Watching().mutex);
  Watching().root.clear();
  SetVisit({}, &lock);
  return std::exchange(Watching().journal, {});
}

void Mark(Kind kind, uint64_t number) {
  const std::lock_guard lock(Watching().mutex);
  Add({.kind = kind, .number = number});
}

void Inject(const Fault& fault) {
  const std::lock_guard lock(Watching().mutex);
  Watching().fault = fault;
  Watching().has_failed = false;
}

void SuspendFaults(bool suspended) {
  const std::lock_guard lock(Watching().mutex);
  Watching().is_suspended = suspended;
}

bool StopFaults() {
  const std::lock_guard lock(Watching().mutex);
  Watching().fault.reset();
  return Watching().has_failed;
}

void AfterEach(std::function<void(const Event&)> visit) {
  std::unique_lock lock(Watching().mutex);
  SetVisit(std::move(visit), &lock);
}

}  // namespace crash

extern "C" {

// What a start and a stop spend most of their time on, and thousands of stores are opened here.
int __wrap_malloc_trim(size_t /*pad*/) { return 0; }

// Megabytes for each of the stores, in which nothing is written: none is taken.
int __wrap_posix_fallocate(int fd, off_t /*offset*/, off_t /*size*/) {
  const crash::Call call;
  return crash::Judge(crash::Fault::Call::kAllocate, fd).fails ? errno : 0;
}

int __wrap_open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return crash::Open(path, flags, mode);
}

int __wrap_mkdir(const char* path, mode_t mode) {
  const crash::Call call;
  if (crash::JudgePath(crash::Fault::Call::kMakeDirectory, path).fails) return -1;
  const int result = __real_mkdir(path, mode);
  const auto name = crash::Below(path);
  if (result == 0 && name) {
    crash::Add({.kind = crash::Kind::kMakeDirectory,
                .file = crash::Watching().names.unused(),
                .path = *name});
  }
  return result;
}

ssize_t __wrap_write(int fd, const void* data, size_t size) {
  const crash::Call call;
  const crash::Verdict verdict = crash::Judge(crash::Fault::Call::kWrite, fd);
  if (verdict.fails) return -1;
  const ssize_t result = __real_write(fd, data, verdict.halves ? crash::Half(size) : size);
  crash::Opened* file = crash::Find(fd);
  if (result > 0 && file != nullptr) {
    const iovec piece{const_cast<void*>(data), size};
    crash::AddWrite(file, &piece, 1, file->position, static_cast<size_t>(result));
    file->position += static_cast<uint64_t>(result);
  }
  return result;
}

ssize_t __wrap_pwritev(int fd, const iovec* pieces, int count, off_t offset) {
  const crash::Call call;
  const crash::Verdict verdict = crash::Judge(crash::Fault::Call::kWrite, fd);
  if (verdict.fails) return -1;
  iovec half = pieces[0];
  half.iov_len = crash::Half(half.iov_len);
  const ssize_t result = verdict.halves ? __real_pwritev(fd, &half, 1, offset)
                                        : __real_pwritev(fd, pieces, count, offset);
  crash::Opened* file = crash::Find(fd);
  if (result > 0 && file != nullptr) {
    crash::AddWrite(file, pieces, count, static_cast<uint64_t>(offset),
                    static_cast<size_t>(result));
  }
  return result;
}

ssize_t __wrap_pwrite(int fd, const void* data, size_t size, off_t offset) {
  const iovec piece{const_cast<void*>(data), size};
  return __wrap_pwritev(fd, &piece, 1, offset);
}

ssize_t __wrap_read(int fd, void* data, size_t size) {
  const crash::Call call;
  const crash::Verdict verdict = crash::Judge(crash::Fault::Call::kRead, fd);
  if (verdict.fails) return -1;
  return __real_read(fd, data, verdict.halves ? crash::Half(size) : size);
}

ssize_t __wrap_pread(int fd, void* data, size_t size, off_t offset) {
  const crash::Call call;
  const crash::Verdict verdict = crash::Judge(crash::Fault::Call::kRead, fd);
  if (verdict.fails) return -1;
  return __real_pread(fd, data, verdict.halves ? crash::Half(size) : size, offset);
}

void* __wrap_mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) {
  const crash::Call call;
  const bool fails = fd < 0 ? crash::Judge(crash::Fault::Call::kPages, "").fails
                            : crash::Judge(crash::Fault::Call::kMap, fd).fails;
  return fails ? MAP_FAILED : __real_mmap(address, size, protection, flags, fd, offset);
}

DIR* __wrap_opendir(const char* path) {
  const crash::Call call;
  if (crash::JudgePath(crash::Fault::Call::kList, path).fails) return nullptr;
  DIR* const directory = __real_opendir(path);
  const auto name = crash::Below(path);
  crash::Watching().listed.erase(directory);
  if (directory != nullptr && name) crash::Watching().listed[directory] = *name;
  return directory;
}

dirent* __wrap_readdir(DIR* directory) {
  const crash::Call call;
  const auto found = crash::Watching().listed.find(directory);
  const bool fails = found != crash::Watching().listed.end() &&
                     crash::Judge(crash::Fault::Call::kList, found->second).fails;
  return fails ? nullptr : __real_readdir(directory);
}

int __wrap_flock(int fd, int operation) {
  const crash::Call call;
  if (crash::Judge(crash::Fault::Call::kLock, fd).fails) return -1;
  return __real_flock(fd, operation);
}

int __wrap_stat(const char* path, struct stat* info) {
  const crash::Call call;
  if (crash::JudgePath(crash::Fault::Call::kLook, path).fails) return -1;
  return __real_stat(path, info);
}

int __wrap_fstat(int fd, struct stat* info) {
  const crash::Call call;
  if (crash::Judge(crash::Fault::Call::kLook, fd).fails) return -1;
  return __real_fstat(fd, info);
}

int __wrap_access(const char* path, int mode) {
  const crash::Call call;
  if (crash::JudgePath(crash::Fault::Call::kLook, path).fails) return -1;
  return __real_access(path, mode);
}

int __wrap_statvfs(const char* path, struct statvfs* info) {
  const crash::Call call;
  if (crash::JudgePath(crash::Fault::Call::kLook, path).fails) return -1;
  return __real_statvfs(path, info);
}

ssize_t __wrap_getrandom(void* bytes, size_t size, unsigned flags) {
  const crash::Call call;
  if (crash::Judge(crash::Fault::Call::kRandom, "").fails) return -1;
  return __real_getrandom(bytes, size, flags);
}

void __wrap__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
    void* thread, void* state, void (*depends)()) {
  bool fails = false;
  {
    const crash::Call call;
    fails = crash::Judge(crash::Fault::Call::kThread, "").fails;
  }
  if (fails) throw std::system_error(errno, std::generic_category());
  __real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE(
      thread, state, depends);
}

// Of the reserve, whose bytes are nobody's.
int __wrap_truncate(const char* path, off_t size) {
  const crash::Call call;
  if (crash::JudgePath(crash::Fault::Call::kResize, path).fails) return -1;
  return __real_truncate(path, size);
}

int __wrap_ftruncate(int fd, off_t size) {
  const crash::Call call;
  if (crash::Judge(crash::Fault::Call::kResize, fd).fails) return -1;
  const int result = __real_ftruncate(fd, size);
  const crash::Opened* file = crash::Find(fd);
  if (result == 0 && file != nullptr) {
    crash::Add({.kind = crash::Kind::kResize,
                .file = file->file,
                .path = file->path,
                .number = static_cast<uint64_t>(size)});
  }
  return result;
}

int __wrap_fsync(int fd) { return crash::Sync(fd, __real_fsync); }

int __wrap_fdatasync(int fd) { return crash::Sync(fd, __real_fdatasync); }

int __wrap_rename(const char* from, const char* to) {
  const crash::Call call;
  const auto name = crash::Below(from);
  if (name && crash::Judge(crash::Fault::Call::kRename, *name).fails) return -1;
  const int result = __real_rename(from, to);
  const auto new_name = crash::Below(to);
  if (result == 0 && name && new_name) {
    const int file = crash::Watching().names.Find(*name);
    crash::Add({.kind = crash::Kind::kRename, .file = file, .path = *name, .to = *new_name});
    for (auto& [fd, opened] : crash::Watching().opened) {
      if (opened.file == file) opened.path = *new_name;
    }
  }
  return result;
}

int __wrap_unlink(const char* path) {
  const crash::Call call;
  const auto name = crash::Below(path);
  if (name && crash::Judge(crash::Fault::Call::kUnlink, *name).fails) return -1;
  const int result = __real_unlink(path);
  if (result == 0 && name) {
    const int file = crash::Watching().names.Find(*name);
    crash::Add({.kind = crash::Kind::kUnlink, .file = file, .path = *name});
  }
  return result;
}

}  // extern "C"
