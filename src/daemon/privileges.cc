#include "daemon/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

#include "base/escape.h"

namespace keystone {

namespace {

Status Unknown(std::string_view what, const std::string& name) {
  return {Code::kConfig,
          std::string(what) + " '" + Escape(name) + "': no such " + std::string(what)};
}

// Groups first: only root may set them.
Status Become(const Identity& identity) {
  const std::string& user = identity.user;
  const std::string name = "'" + Escape(user) + "'";
  const int groups =
      user.empty() ? ::setgroups(1, &identity.gid) : ::initgroups(user.c_str(), identity.gid);
  if (groups < 0) return Status::FromErrno("setgroups to", name, errno);
  if (::setgid(identity.gid) < 0) return Status::FromErrno("setgid to", name, errno);
  if (::setuid(identity.uid) < 0) return Status::FromErrno("setuid to", name, errno);
  if (identity.uid != 0 && (::setuid(0) == 0 || ::seteuid(0) == 0)) {
    return {Code::kPermission, "setuid to " + name + ": root could be regained"};
  }
  return Status::Ok();
}

}  // namespace

Result<Identity> FindIdentity(const std::string& user, const std::string& group) {
  Identity identity{user, ::geteuid(), ::getegid()};
  if (!user.empty()) {
    const passwd* entry = ::getpwnam(user.c_str());
    if (entry == nullptr) return Unknown("user", user);
    identity.uid = entry->pw_uid;
    identity.gid = entry->pw_gid;
  }
  if (!group.empty()) {
    const struct group* entry = ::getgrnam(group.c_str());
    if (entry == nullptr) return Unknown("group", group);
    identity.gid = entry->gr_gid;
  }
  return identity;
}

Status DropPrivileges(const Identity& identity, const Log& log) {
  const bool root = ::geteuid() == 0;
  if (root && identity.uid == 0) {
    log.Write(Priority::kWarning, "running as root: the option user names a safer one");
  }
  const bool same = identity.uid == ::geteuid() && identity.gid == ::getegid();
  // Root keeps no supplementary group even where the rest stays the same.
  if (same && (!root || identity.user.empty())) return Status::Ok();
  if (root) return Become(identity);
  return {Code::kPermission, "become user id " + std::to_string(identity.uid) + ", group id " +
                                 std::to_string(identity.gid) +
                                 ": only root can, and this is not root"};
}

}  // namespace keystone
