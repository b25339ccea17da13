#include "net/limits.h"

#include <string>

namespace keystone {

Status CheckSize(std::string_view what, size_t size, size_t limit) {
  if (size <= limit) return Status::Ok();
  return Status::Invalid(std::string(what) + " too long: " + std::to_string(size) +
                         " bytes, the limit is " + std::to_string(limit));
}

}  // namespace keystone
