// A monitor's request: where it ends, and what it asks for.
//
//   0  the bytes
#include "net/http.h"

#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

bool IsIn(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t head_size = HttpHeadSize(input);
  Require(head_size <= size, "a head is in the input");
  if (head_size == 0) return 0;
  const std::string_view head = input.substr(0, head_size);
  Require(head.ends_with('\n'), "a head ends with a line");
  Require(HttpHeadSize(head) == head_size, "what comes behind it changes nothing");
  Require(HttpHeadSize(head.substr(0, head_size - 1)) == 0, "a part of it is none");
  const auto request = ParseHttpRequest(head);
  if (!request) return 0;
  Require(IsIn(request->method, head) && !request->method.empty(), "the method is in the head");
  Require(IsIn(request->path, head) && request->path.starts_with('/'), "the path is, too");
  for (const char c : {' ', '\n', '?'}) {
    Require(request->path.find(c) == std::string_view::npos, "the path is nothing else");
  }
  return 0;
}
