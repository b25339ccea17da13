// Gives up root for good.
#ifndef KEYSTONE_DAEMON_PRIVILEGES_H_
#define KEYSTONE_DAEMON_PRIVILEGES_H_

#include <sys/types.h>

#include <string>

#include "base/log.h"
#include "base/status.h"

namespace keystone {

struct Identity {
  std::string user;  // empty: stay who it is
  uid_t uid;
  gid_t gid;
};

// Whom `user` and `group` stand for; an empty user is the one who runs this, an empty group the
// user's own. kConfig: an unknown name. To be called before any thread exists.
Result<Identity> FindIdentity(const std::string& user, const std::string& group);

// Becomes `identity`, supplementary groups included, and makes sure that there is no way back. Who
// stays root is warned. kPermission: not root, and asked to be someone else. To be called before
// any thread exists.
Status DropPrivileges(const Identity& identity, const Log& log);

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_PRIVILEGES_H_
