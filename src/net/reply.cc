#include "net/reply.h"

namespace keystone {

std::string_view ReasonFor(const Status& status) {
  switch (status.code()) {
    case Code::kNoSpace:
    case Code::kFileLimit:
      return "log device full: writes are refused, reads go on";
    case Code::kBusy:
      return "compaction already running";
    default:
      return status.message();
  }
}

}  // namespace keystone
