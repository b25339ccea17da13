// Addresses, sizes and times, Base64, and bytes made printable: whatever is taken has one meaning.
//
//   0  1  which of them
//   1     the text
#include "base/address.h"
#include "base/base64.h"
#include "base/escape.h"
#include "daemon/units.h"
#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

void CheckAddress(std::string_view text) {
  const auto address = ParseAddress(text);
  if (!address.ok()) {
    Require(address.status().code() == Code::kInvalid, "a bad address is invalid");
    return;
  }
  const std::string shown = ToString(address.value());
  const auto again = ParseAddress(shown);
  Require(again.ok(), "an address that was taken is taken again: " + shown);
  Require(
      again.value().kind == address.value().kind && again.value().host == address.value().host &&
          again.value().port == address.value().port && again.value().path == address.value().path,
      "and means the same");
}

void CheckUnits(std::string_view text) {
  const auto size = ParseSize(text);
  const auto duration = ParseDuration(text);
  Require(size.ok() || size.status().code() == Code::kInvalid, "a bad size is invalid");
  Require(duration.ok() || duration.status().code() == Code::kInvalid, "so is a bad time");
  if (size.ok()) {
    const auto again = ParseSize(std::to_string(size.value()));
    Require(again.ok() && again.value() == size.value(), "a size is a number of bytes");
  }
  if (duration.ok()) {
    const auto again = ParseDuration(std::to_string(duration.value()) + "ms");
    Require(again.ok() && again.value() == duration.value(), "a time is a number of milliseconds");
  }
}

void CheckBase64(std::string_view bytes) {
  std::string encoded;
  AppendBase64(bytes, &encoded);
  Require(DecodeBase64(encoded) == bytes, "what was encoded can be decoded");
  const auto decoded = DecodeBase64(bytes);
  if (!decoded) return;
  std::string again;
  AppendBase64(*decoded, &again);
  Require(again == bytes, "there is one encoding");
}

void CheckEscape(std::string_view bytes) {
  const std::string shown = Escape(bytes);
  for (const char c : shown) Require(c >= 0x20 && c < 0x7f, "what is escaped can be shown");
  Require(shown.size() <= 4 * kEscapeLimit + 3, "and is short");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  switch (input.Byte() % 4) {
    case 0:
      CheckAddress(input.Rest());
      break;
    case 1:
      CheckUnits(input.Rest());
      break;
    case 2:
      CheckBase64(input.Rest());
      break;
    default:
      CheckEscape(input.Rest());
  }
  return 0;
}
