#include "net/buffer.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "CppUTest/TestHarness.h"

using keystone::Buffer;

namespace {

// What a receive does.
void Receive(Buffer* buffer, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> room = buffer->Room();
    const size_t size = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), size);
    buffer->Added(size);
    bytes.remove_prefix(size);
  }
}

}  // namespace

TEST_GROUP(Buffer) { Buffer buffer; };

TEST(Buffer, IsEmptyAtFirstAndAgain) {
  CHECK_TRUE(buffer.empty());
  CHECK_TRUE(buffer.bytes().empty());
  buffer.Append("");
  CHECK_TRUE(buffer.empty());
  buffer.Append("abc");
  buffer.Drop(3);
  CHECK_TRUE(buffer.empty());
  CHECK_TRUE(buffer.bytes().empty());
}

TEST(Buffer, KeepsBytesInOrderHoweverTheyCome) {
  buffer.Append("ab");
  Receive(&buffer, "cd");
  buffer.Drop(1);
  buffer.Append("ef");
  CHECK_TRUE(buffer.bytes() == "bcdef");
}

TEST(Buffer, TheRoomGrowsWithWhatIsThere) {
  CHECK_TRUE(buffer.Room().size() >= 16 * 1024);
  Receive(&buffer, std::string(1 << 20, 'x'));
  CHECK_TRUE(buffer.Room().size() == 256 * 1024);
}

TEST(Buffer, BytesAreSeldomMovedWhileItGrows) {
  int moves = 0;
  for (size_t size = 0; size < size_t{64} << 20; size += 16 * 1024) {
    const char* const before = buffer.bytes().data();
    const std::span<char> room = buffer.Room();
    if (buffer.bytes().data() != before) moves++;
    std::memset(room.data(), 'x', 16 * 1024);
    buffer.Added(16 * 1024);
  }
  CHECK_TRUE(moves <= 13);  // each time to twice the memory
}

TEST(Buffer, AStreamOfAddsAndDropsLosesNothing) {
  std::string expected;
  unsigned random = 1;
  char next = 0;
  for (int i = 0; i < 20000; i++) {
    random = random * 1103515245 + 12345;
    std::string bytes;
    for (unsigned n = (random >> 16) % (i % 1000 == 0 ? 300000 : 3000); n > 0; n--) bytes += next++;
    if (i % 2 == 0) {
      Receive(&buffer, bytes);
    } else {
      buffer.Append(bytes);
    }
    expected += bytes;
    random = random * 1103515245 + 12345;
    const size_t drop = std::min<size_t>((random >> 16) % 4000, expected.size());
    buffer.Drop(drop);
    expected.erase(0, drop);
    CHECK_TRUE(buffer.bytes() == expected);
  }
}
