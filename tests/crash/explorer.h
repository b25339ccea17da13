// Visits every crash point of a journal, and at each one all that a crash there may leave of the
// disk; has the store recover from it, and checks what it promises.
//
// Checked of each state:
// - recovery takes it;
// - the store then holds what the first n groups made, for one n between what it has promised and
//   what it was given: nothing acknowledged is lost, nothing is half there, no deleted key is back;
// - it can be written and closed, and leaves no file that nobody names;
// - it holds the same when it is opened again.
//
// A state that has been seen before is not opened again, only compared with the promises. Mutations
// of the journal stand for those of the program: to leave out a sync, say, changes nothing of what
// else it does, as long as there is no crash.
#ifndef KEYSTONE_TESTS_CRASH_EXPLORER_H_
#define KEYSTONE_TESTS_CRASH_EXPLORER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "journal.h"
#include "load.h"
#include "states.h"
#include "store/store.h"

namespace crash {

class Explorer {
 public:
  struct Counts {
    size_t points = 0;  // of crashes
    size_t states = 0;  // of the disk, different ones at each point
    size_t opened = 0;  // of them, by recovery: different from all others

    void Print(const char* what) const;
    Counts& operator+=(const Counts& more);
  };

  // Stores are opened below `scratch`, with `options` but for the directory.
  Explorer(std::string scratch, const keystone::StoreOptions& options)
      : scratch_(std::move(scratch)), options_(options) {}

  // What is wrong after the first crash that breaks a promise; empty where none does. `after`: see
  // Load::after. There is no crash in the first `from` events.
  std::string Explore(const Journal& journal, const std::vector<Contents>& after, size_t from = 0);

  // Called for each new state and the directory that it has become after recovery, a write and two
  // clean stops; returns what is wrong there, or nothing.
  using Check = std::function<std::string(const Tree& state, const std::string& directory)>;
  void AlsoCheck(Check check) { check_ = std::move(check); }

  // Each state is repaired before it is opened.
  void RepairFirst() { repairs_ = true; }

  const Counts& counts() const { return counts_; }
  static Counts& total();  // of all explorers that are gone
  ~Explorer() { total() += counts_; }
  Explorer(const Explorer&) = delete;
  Explorer& operator=(const Explorer&) = delete;

 private:
  // What a state came to.
  struct Outcome {
    std::string wrong;  // whatever was promised; empty: nothing
    Contents contents;
  };
  struct Promise {
    uint64_t submitted = 0;
    uint64_t acknowledged = 0;
    uint64_t durable = 0;
  };

  std::string ExplorePoint(const Disk& disk, const Promise& promise);
  const Outcome& Recover(const Tree& tree, uint64_t hash);
  std::string Try(const std::string& directory, Contents* contents);
  std::string TryAgain(const std::string& directory, const Contents& expected);
  std::string Judge(const Outcome& outcome, uint64_t least, uint64_t most) const;

  const std::string scratch_;
  keystone::StoreOptions options_;
  Check check_;
  bool repairs_ = false;
  const std::vector<Contents>* after_ = nullptr;  // of the journal at hand
  Counts counts_;
  std::unordered_map<uint64_t, Outcome> outcomes_;  // by the hash of the state
  std::unordered_set<uint64_t> closed_;             // good states that a recovery has left
};

// Where scratch directories go: to memory, where there is such a place.
std::string ScratchParent();

// A directory `path`, which must not exist, with these files; and back.
void WriteTree(const Tree& tree, const std::string& path);
Tree ReadTree(const std::string& path);

// What is in the files of a directory that keep what recovery cut off.
std::string CutBytes(const std::string& directory);

// Sanitizers make it all some ten times slower; they need not see everything twice.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kIsSlow = true;
#else
inline constexpr bool kIsSlow = false;
#endif

// The directory below a journal's root that has the store.
inline constexpr char kDataDirectory[] = "data";

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_EXPLORER_H_
