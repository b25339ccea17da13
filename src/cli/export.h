// keystone-cli export: every entry of the store as a `key<TAB>value` line, as load reads them.
#ifndef KEYSTONE_CLI_EXPORT_H_
#define KEYSTONE_CLI_EXPORT_H_

#include <string_view>

#include "base/status.h"
#include "cli/client.h"

namespace keystone {

// Writes all entries whose key begins with `prefix` to the descriptor `output`, in no particular
// order. Keys and values that a line can't carry stand there as base64:. An entry that is written
// or deleted meanwhile may be there in its old state, in its new one, or more than once.
Status Export(Client* client, std::string_view prefix, int output);

}  // namespace keystone

#endif  // KEYSTONE_CLI_EXPORT_H_
