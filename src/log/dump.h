// keystone-log dump: the log as JSON, an object a line, in log order.
//
// Reads only. The directory must be locked, or be nobody's. One thread.
#ifndef KEYSTONE_LOG_DUMP_H_
#define KEYSTONE_LOG_DUMP_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "store/scanner.h"

namespace keystone {

// Exactly one UTF-8 text (RFC 3629): no overlong forms, no surrogates.
bool IsUtf8(std::string_view bytes);

// One record of the segment of that number as a JSON object and LF. A key or value that is not
// UTF-8 becomes a member key_base64 or value_base64.
void AppendJson(uint64_t segment, const PlacedRecord& placed, std::string* out);

// Prints every record that can be read. What can't is told on standard error, and the result is
// kCorrupt then; a torn tail, which the next start cuts, is only told.
Status Dump(const std::string& directory);

}  // namespace keystone

#endif  // KEYSTONE_LOG_DUMP_H_
