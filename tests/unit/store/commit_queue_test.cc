#include "store/commit_queue.h"

#include <CppUTest/TestHarness.h>

#include <functional>
#include <initializer_list>
#include <string>

using keystone::CommitQueue;
using keystone::Status;
using keystone::Waiter;
using Part = keystone::CommitQueue::Part;

// One thread plays all: what comes while a round is served is put into the queue by `serve`.
TEST_GROUP(CommitQueue) {
  static constexpr uint64_t kLimit = 100;
  static constexpr int kMostRounds = 2;

  CommitQueue queue{kLimit, kMostRounds, [this](Waiter* round) { Serve(round); }};
  CommitQueue prompt{kLimit, 1, [this](Waiter* round) { Serve(round); }};
  std::string served;  // "a b|c ": a round of a and b, then one of c
  std::string told;    // of those who have left
  std::function<void()> meanwhile;

  struct Client : Waiter {
    explicit Client(char its_name, uint64_t bytes = 1) : name(its_name) { size.bytes = bytes; }
    Client(char its_name, std::string* names) : Client(its_name) {
      on_served = [names, its_name] { *names += its_name; };
    }
    char name;
  };

  Client a{'a'};
  Client b{'b'};
  Client c{'c'};
  Client d{'d'};
  Client leaving{'l', &told};
  Client leaving_too{'m', &told};

  void Serve(Waiter * round) {
    if (!served.empty()) served += '|';
    for (; round != nullptr; round = round->next) served += static_cast<Client*>(round)->name;
    if (meanwhile) std::exchange(meanwhile, nullptr)();
  }

  void CheckJoins(Part part, Client * client) {
    LONGS_EQUAL(static_cast<int>(part), static_cast<int>(prompt.Join(client)));
  }
};

TEST(CommitQueue, WhoIsAloneLeads) {
  CheckJoins(Part::kLeads, &a);
  prompt.Lead(&a);
  STRCMP_EQUAL("a", served.c_str());
  CheckJoins(Part::kLeads, &leaving);
  prompt.Lead(&leaving);
  STRCMP_EQUAL("a|l", served.c_str());
  STRCMP_EQUAL("", told.c_str());
}

TEST(CommitQueue, WhoComesMeanwhileMakesUpTheNextRoundWhichTheFirstOfThemLeads) {
  CheckJoins(Part::kLeads, &a);
  meanwhile = [this] {
    CheckJoins(Part::kAwaits, &b);
    CheckJoins(Part::kAwaits, &c);
  };
  prompt.Lead(&a);
  CHECK_TRUE(CommitQueue::Await(&b));
  prompt.Lead(&b);
  CHECK_FALSE(CommitQueue::Await(&c));
  STRCMP_EQUAL("a|bc", served.c_str());
}

TEST(CommitQueue, WhoNeedNotWaitLeavesBehindOneWhoDoesAndIsToldByTheLeader) {
  CheckJoins(Part::kLeads, &a);
  meanwhile = [this] {
    CheckJoins(Part::kAwaits, &leaving);  // nobody else could lead
    CheckJoins(Part::kLeft, &leaving_too);
    CheckJoins(Part::kAwaits, &b);
  };
  prompt.Lead(&a);
  STRCMP_EQUAL("", told.c_str());
  CHECK_TRUE(CommitQueue::Await(&leaving));
  prompt.Lead(&leaving);
  STRCMP_EQUAL("m", told.c_str());
  CHECK_FALSE(CommitQueue::Await(&b));
  STRCMP_EQUAL("a|lmb", served.c_str());
}

TEST(CommitQueue, WhoComesWhileTheNextLeaderWakesLeavesToo) {
  CheckJoins(Part::kLeads, &a);
  meanwhile = [this] { CheckJoins(Part::kAwaits, &b); };
  prompt.Lead(&a);
  CheckJoins(Part::kLeft, &leaving);
  CHECK_TRUE(CommitQueue::Await(&b));
  prompt.Lead(&b);
  STRCMP_EQUAL("a|bl", served.c_str());
  STRCMP_EQUAL("l", told.c_str());
}

TEST(CommitQueue, ALeaderOfSeveralRoundsServesTheHeirToo) {
  LONGS_EQUAL(static_cast<int>(Part::kLeads), static_cast<int>(queue.Join(&a)));
  meanwhile = [this] {
    queue.Join(&b);
    queue.Join(&leaving);
    meanwhile = [this] {
      queue.Join(&c);
      queue.Join(&leaving_too);
    };
  };
  queue.Lead(&a);
  CHECK_FALSE(CommitQueue::Await(&b));
  STRCMP_EQUAL("l", told.c_str());
  CHECK_TRUE(CommitQueue::Await(&c));
  queue.Lead(&c);
  STRCMP_EQUAL("a|bl|cm", served.c_str());
  STRCMP_EQUAL("lm", told.c_str());
}

// What does not fit the heir's round is left over without anybody who could lead.
TEST(CommitQueue, ALeaderGoesOnUntilSomebodyCanTakeOver) {
  leaving_too.size.bytes = kLimit;
  CheckJoins(Part::kLeads, &a);
  meanwhile = [this] {
    CheckJoins(Part::kAwaits, &b);
    CheckJoins(Part::kLeft, &leaving);
    CheckJoins(Part::kLeft, &leaving_too);
  };
  prompt.Lead(&a);
  CHECK_TRUE(CommitQueue::Await(&b));
  meanwhile = [this] { meanwhile = [this] { CheckJoins(Part::kAwaits, &c); }; };
  prompt.Lead(&b);
  STRCMP_EQUAL("a|bl|m", served.c_str());
  STRCMP_EQUAL("lm", told.c_str());
  CHECK_TRUE(CommitQueue::Await(&c));
  prompt.Lead(&c);
  STRCMP_EQUAL("a|bl|m|c", served.c_str());
}

// The heir may stand behind what others have left.
TEST(CommitQueue, ALeaderDoesNotResignBeforeItIsServedItself) {
  leaving_too.size.bytes = kLimit;
  b.size.bytes = kLimit;
  CheckJoins(Part::kLeads, &a);
  meanwhile = [this] {
    CheckJoins(Part::kAwaits, &d);
    CheckJoins(Part::kLeft, &leaving_too);
  };
  prompt.Lead(&a);
  CHECK_TRUE(CommitQueue::Await(&d));
  meanwhile = [this] {
    CheckJoins(Part::kAwaits, &b);
    CheckJoins(Part::kLeft, &leaving);
  };
  prompt.Lead(&d);
  CHECK_TRUE(CommitQueue::Await(&b));
  meanwhile = [this] { CheckJoins(Part::kLeft, &c); };
  c.on_served = [this] { told += 'c'; };
  prompt.Lead(&b);
  STRCMP_EQUAL("a|d|m|b|lc", served.c_str());
  STRCMP_EQUAL("mlc", told.c_str());
}

TEST(CommitQueue, WhoSealsHasARoundOfItsOwn) {
  Status sealed;
  c.sealed = &sealed;
  CheckJoins(Part::kLeads, &a);
  meanwhile = [this] {
    CheckJoins(Part::kAwaits, &b);
    CheckJoins(Part::kAwaits, &c);
    CheckJoins(Part::kLeft, &leaving);
  };
  prompt.Lead(&a);
  CHECK_TRUE(CommitQueue::Await(&b));
  prompt.Lead(&b);
  CHECK_TRUE(CommitQueue::Await(&c));
  prompt.Lead(&c);
  STRCMP_EQUAL("a|b|c|l", served.c_str());
  STRCMP_EQUAL("l", told.c_str());
}
