// What a server may send to keystone-bench: the first reply is the same whatever follows it, and
// its beginnings are no other.
//
//   0  1  protocol and command
//   1     what the server sends
#include "bench/protocol.h"
#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

using Kind = BenchReply::Kind;

bool IsWhole(const BenchReply& reply) {
  return reply.kind != Kind::kPartial && reply.kind != Kind::kInvalid;
}

void CheckPlace(const BenchReply& reply, std::string_view bytes) {
  Require(reply.size_bytes <= bytes.size(), "a reply is part of what was sent");
  Require(IsWhole(reply) == (reply.size_bytes > 0), "a whole reply has a size");
  if (reply.text.empty()) return;
  Require(reply.text.data() >= bytes.data() &&
              reply.text.data() + reply.text.size() <= bytes.data() + reply.size_bytes,
          "its text is part of it");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t choice = input.Byte();
  const auto protocol = static_cast<BenchProtocol>(choice % 3);
  const auto command = (choice & 0x80) != 0 ? BenchCommand::kSet : BenchCommand::kGet;
  const std::string_view bytes = input.Rest();
  const BenchReply reply = ParseReply(protocol, command, bytes);
  CheckPlace(reply, bytes);
  if (!IsWhole(reply)) return 0;
  const BenchReply alone = ParseReply(protocol, command, bytes.substr(0, reply.size_bytes));
  Require(
      alone.kind == reply.kind && alone.size_bytes == reply.size_bytes && alone.text == reply.text,
      "what follows a reply does not change it");
  for (size_t part = 0; part < reply.size_bytes; part++) {
    const BenchReply beginning = ParseReply(protocol, command, bytes.substr(0, part));
    Require(beginning.kind == Kind::kPartial, "the beginning of a reply is partial");
  }
  return 0;
}
