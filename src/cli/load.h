// keystone-cli load: `key<TAB>value` lines into the store, pipelined.
#ifndef KEYSTONE_CLI_LOAD_H_
#define KEYSTONE_CLI_LOAD_H_

#include <cstdint>
#include <string>

#include "base/status.h"
#include "cli/client.h"

namespace keystone {

// Stores every line of the file `path` ("-": standard input) and returns once all of them are
// answered. The first TAB separates; a text that begins with base64: stands for the decoded bytes,
// any other for itself, byte for byte.
//
// Stops at the first line that can't be stored; the error names file and line. Lines behind one
// that the server refused may have been on their way and are stored. `stored` counts what the
// server has acknowledged, whatever the outcome.
Status Load(Client* client, const std::string& path, uint64_t* stored);

}  // namespace keystone

#endif  // KEYSTONE_CLI_LOAD_H_
