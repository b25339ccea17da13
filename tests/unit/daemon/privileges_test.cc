#include "daemon/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "scratch.h"

using keystone::Code;
using keystone::DropPrivileges;
using keystone::FindIdentity;
using keystone::Log;
using keystone::Priority;
using keystone::Status;

namespace {

constexpr char kUser[] = "nobody";
constexpr char kGroup[] = "daemon";

bool IsRoot() { return ::geteuid() == 0; }

std::string Ids() {
  std::array<uid_t, 3> users{};
  std::array<gid_t, 3> groups{};
  (void)::getresuid(&users[0], &users[1], &users[2]);
  (void)::getresgid(&groups[0], &groups[1], &groups[2]);
  std::array<gid_t, 64> others{};
  const int count = ::getgroups(others.size(), others.data());
  std::string text = "users";
  for (const uid_t id : users) text += " " + std::to_string(id);
  text += ", groups";
  for (const gid_t id : groups) text += " " + std::to_string(id);
  text += ", others";
  for (int i = 0; i < count; i++) text += " " + std::to_string(others[static_cast<size_t>(i)]);
  return text;
}

std::string IdsOf(uid_t user, gid_t group, const std::string& others) {
  const std::string u = " " + std::to_string(user);
  const std::string g = " " + std::to_string(group);
  return "users" + u + u + u + ", groups" + g + g + g + ", others" + others;
}

bool CanBecomeRootAgain() {
  return ::setuid(0) == 0 || ::seteuid(0) == 0 || ::setresuid(0, 0, 0) == 0;
}

}  // namespace

TEST_GROUP(FindIdentity){};

TEST(FindIdentity, NobodyNamedIsWhoRunsThis) {
  const auto found = FindIdentity("", "");
  CHECK_TRUE(found.ok());
  LONGS_EQUAL(::geteuid(), found.value().uid);
  LONGS_EQUAL(::getegid(), found.value().gid);
}

TEST(FindIdentity, AUserHasItsOwnGroupUnlessAnotherIsNamed) {
  const passwd* entry = ::getpwnam(kUser);
  if (entry == nullptr) return;
  const gid_t own = entry->pw_gid;
  const auto found = FindIdentity(kUser, "");
  LONGS_EQUAL(entry->pw_uid, found.value().uid);
  LONGS_EQUAL(own, found.value().gid);
  const auto other = FindIdentity(kUser, kGroup);
  LONGS_EQUAL(::getgrnam(kGroup)->gr_gid, other.value().gid);
  CHECK_TRUE(own != other.value().gid);
}

TEST(FindIdentity, WhoIsNotKnownIsNamed) {
  const auto user = FindIdentity("no\nsuch", "");
  CHECK_TRUE(user.status().code() == Code::kConfig);
  STRCMP_EQUAL("user 'no\\x0asuch': no such user", user.status().message().c_str());
  const auto group = FindIdentity("", "no-such");
  CHECK_TRUE(group.status().code() == Code::kConfig);
  STRCMP_EQUAL("group 'no-such': no such group", group.status().message().c_str());
}

// Each in a child: who has given up root can't have it back.
TEST_GROUP(DropPrivileges) {
  Scratch scratch;
  Log log{Log::Sink::kStderr, Priority::kWarning};

  // Becomes `user` and `group` from `others` on, and writes down who that is.
  Code Drop(const std::string& user, const std::string& group,
            const std::vector<gid_t>& others = {}) const {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(static_cast<int>(DropHere(user, group, others)));
    int status = 0;
    LONGS_EQUAL(child, ::waitpid(child, &status, 0));
    CHECK_TRUE(WIFEXITED(status));
    return static_cast<Code>(WEXITSTATUS(status));
  }

  Code DropHere(const std::string& user, const std::string& group, const std::vector<gid_t>& others)
      const {
    const int said = ::open(scratch.File("stderr").c_str(), O_WRONLY | O_CREAT, 0600);
    ::dup2(said, STDERR_FILENO);
    std::ofstream report(scratch.File("report"));
    if (::geteuid() == 0) (void)::setgroups(others.size(), others.data());
    const auto identity = FindIdentity(user, group);
    if (!identity.ok()) return identity.status().code();
    const Status status = DropPrivileges(identity.value(), log);
    report << Ids();
    if (identity.value().uid != 0 && CanBecomeRootAgain()) report << ", root again";
    report.close();
    return status.code();
  }
};

TEST(DropPrivileges, RootBecomesTheUserWithItsGroupsOnlyAndForGood) {
  if (!IsRoot()) return;
  const passwd* entry = ::getpwnam(kUser);
  const uid_t uid = entry->pw_uid;
  const gid_t gid = entry->pw_gid;
  CHECK_TRUE(Drop(kUser, "", {0, 4, 12}) == Code::kOk);
  STRCMP_EQUAL(IdsOf(uid, gid, " " + std::to_string(gid)).c_str(), scratch.Read("report").c_str());
  STRCMP_EQUAL("", scratch.Read("stderr").c_str());
}

TEST(DropPrivileges, AGroupThatIsNamedReplacesTheUsersOwn) {
  if (!IsRoot()) return;
  const uid_t uid = ::getpwnam(kUser)->pw_uid;
  const gid_t gid = ::getgrnam(kGroup)->gr_gid;
  CHECK_TRUE(Drop(kUser, kGroup, {0, 4}) == Code::kOk);
  STRCMP_EQUAL(IdsOf(uid, gid, " " + std::to_string(gid)).c_str(), scratch.Read("report").c_str());
}

TEST(DropPrivileges, WhoStaysRootIsWarned) {
  if (!IsRoot()) return;
  CHECK_TRUE(Drop("", "", {0, 4}) == Code::kOk);
  STRCMP_EQUAL(IdsOf(0, ::getegid(), " 0 4").c_str(), scratch.Read("report").c_str());
  STRCMP_CONTAINS("running as root", scratch.Read("stderr").c_str());
}

TEST(DropPrivileges, RootByNameHasRootsGroupsOnly) {
  if (!IsRoot()) return;
  CHECK_TRUE(Drop("root", "", {4, 12}) == Code::kOk);
  STRCMP_EQUAL(IdsOf(0, 0, " 0").c_str(), scratch.Read("report").c_str());
}

TEST(DropPrivileges, RootWithAnotherGroupKeepsNoneOfItsOwn) {
  if (!IsRoot()) return;
  const gid_t gid = ::getgrnam(kGroup)->gr_gid;
  CHECK_TRUE(Drop("", kGroup, {0, 4}) == Code::kOk);
  STRCMP_EQUAL(IdsOf(0, gid, " " + std::to_string(gid)).c_str(), scratch.Read("report").c_str());
}

TEST(DropPrivileges, WhoIsNotRootStaysWhoItIsAndBecomesNobodyElse) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (IsRoot() && (::setgid(65534) < 0 || ::setuid(65534) < 0)) ::_exit(1);
    const auto own = FindIdentity("", "");
    if (!own.ok() || !DropPrivileges(own.value(), log).ok()) ::_exit(2);
    const Status other = DropPrivileges({"", ::geteuid() + 1, ::getegid()}, log);
    if (other.code() != Code::kPermission) ::_exit(3);
    const Status group = DropPrivileges({"", ::geteuid(), ::getegid() + 1}, log);
    ::_exit(group.code() == Code::kPermission ? 0 : 4);
  }
  int status = 0;
  LONGS_EQUAL(child, ::waitpid(child, &status, 0));
  LONGS_EQUAL(0, status);
}
