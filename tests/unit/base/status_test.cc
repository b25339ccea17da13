#include "base/status.h"

#include <CppUTest/TestHarness.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

using keystone::Code;
using keystone::ExitCode;
using keystone::Result;
using keystone::Status;

TEST_GROUP(Status){};

TEST(Status, OkSaysNothing) {
  CHECK_TRUE(Status().ok());
  CHECK_TRUE(Status::Ok().code() == Code::kOk);
  STRCMP_EQUAL("", Status::Ok().message().c_str());
  CHECK_FALSE(Status::NotFound().ok());
  STRCMP_EQUAL("", Status::NotFound().message().c_str());
}

TEST(Status, FromErrnoNamesOperationObjectAndReason) {
  const Status status = Status::FromErrno("append", "000000000007.log", ENOSPC);
  STRCMP_EQUAL("append 000000000007.log: No space left on device", status.message().c_str());
  CHECK_TRUE(status.code() == Code::kNoSpace);
}

TEST(Status, TheCodeFollowsFromErrno) {
  const struct {
    int error;
    Code code;
  } rows[] = {{EDQUOT, Code::kNoSpace},   {EFBIG, Code::kFileLimit},  {EACCES, Code::kPermission},
              {EPERM, Code::kPermission}, {EROFS, Code::kPermission}, {EMFILE, Code::kSystem},
              {ENFILE, Code::kSystem},    {ENOMEM, Code::kSystem},    {EAGAIN, Code::kSystem},
              {EIO, Code::kIo},           {ENOENT, Code::kIo}};
  for (const auto& row : rows) {
    CHECK_TRUE(Status::FromErrno("do", "it", row.error).code() == row.code);
  }
}

TEST(Status, AsKeepsTheMessage) {
  const Status status = Status(Code::kIo, "why").As(Code::kConfig);
  CHECK_TRUE(status.code() == Code::kConfig);
  STRCMP_EQUAL("why", status.message().c_str());
}

TEST(Status, ExitCodesAreSysexits) {
  const struct {
    Code code;
    int exit_code;
  } rows[] = {{Code::kOk, 0},          {Code::kUsage, 64},      {Code::kCorrupt, 65},
              {Code::kRunning, 69},    {Code::kSystem, 71},     {Code::kCancelled, 71},
              {Code::kCantCreate, 73}, {Code::kIo, 74},         {Code::kNoSpace, 74},
              {Code::kReadOnly, 74},   {Code::kPermission, 77}, {Code::kConfig, 78}};
  for (const auto& row : rows) LONGS_EQUAL(row.exit_code, ExitCode(row.code));
}

TEST_GROUP(Result){};

TEST(Result, HoldsAValue) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  CHECK_TRUE(result.ok());
  CHECK_TRUE(result.status().ok());
  const auto taken = std::move(result.value());
  LONGS_EQUAL(7, *taken);
}

TEST(Result, OrAnError) {
  const Result<std::string> result(Status(Code::kIo, "why"));
  CHECK_FALSE(result.ok());
  CHECK_TRUE(result.status().code() == Code::kIo);
  STRCMP_EQUAL("why", result.status().message().c_str());
}
