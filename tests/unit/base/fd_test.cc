#include "base/fd.h"

#include <CppUTest/TestHarness.h>
#include <fcntl.h>

#include <utility>

using keystone::Fd;

namespace {

int OpenNull() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

}  // namespace

TEST_GROUP(Fd){};

TEST(Fd, OwnsNothingByDefault) {
  const Fd fd;
  CHECK_FALSE(fd.valid());
  LONGS_EQUAL(-1, fd.get());
}

TEST(Fd, ClosesWhenItGoes) {
  const int number = OpenNull();
  {
    const Fd fd(number);
    CHECK_TRUE(fd.valid());
    CHECK_TRUE(IsOpen(number));
  }
  CHECK_FALSE(IsOpen(number));
}

TEST(Fd, MovingTakesTheDescriptorAlong) {
  Fd from(OpenNull());
  const int number = from.get();
  Fd to(std::move(from));
  LONGS_EQUAL(number, to.get());
  CHECK_TRUE(IsOpen(number));
}

TEST(Fd, AssigningClosesTheOldOne) {
  Fd first(OpenNull());
  Fd second(OpenNull());
  const int old = first.get();
  const int kept = second.get();
  first = std::move(second);
  LONGS_EQUAL(kept, first.get());
  CHECK_FALSE(IsOpen(old));
  CHECK_TRUE(IsOpen(kept));
}

TEST(Fd, AssigningToItselfKeepsIt) {
  Fd fd(OpenNull());
  Fd& same = fd;
  fd = std::move(same);
  CHECK_TRUE(IsOpen(fd.get()));
}

TEST(Fd, ReleaseHandsItOver) {
  Fd fd(OpenNull());
  const Fd other(fd.release());
  CHECK_FALSE(fd.valid());
  CHECK_TRUE(IsOpen(other.get()));
}

TEST(Fd, ResetClosesAndReplaces) {
  Fd fd(OpenNull());
  const int old = fd.get();
  fd.reset(OpenNull());
  CHECK_TRUE(fd.valid());
  fd.reset();
  CHECK_FALSE(fd.valid());
  CHECK_FALSE(IsOpen(old));
}
