#include "base/status.h"

#include <sysexits.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace keystone {

namespace {

Code CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return Code::kNoSpace;
    case EFBIG:
      return Code::kFileLimit;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::kPermission;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
      return Code::kSystem;
    default:
      return Code::kIo;
  }
}

}  // namespace

Status Status::FromErrno(std::string_view operation, std::string_view object, int error) try {
  std::string message(operation);
  message.append(" ").append(object).append(": ").append(std::strerror(error));
  return {CodeOf(error), std::move(message)};
} catch (const std::bad_alloc&) {
  return {CodeOf(error), "error " + std::to_string(error)};  // so short that it takes none
}

int ExitCode(Code code) {
  switch (code) {
    case Code::kOk:
      return EX_OK;
    case Code::kUsage:
      return EX_USAGE;
    case Code::kCorrupt:
      return EX_DATAERR;
    case Code::kRunning:
      return EX_UNAVAILABLE;
    case Code::kCantCreate:
      return EX_CANTCREAT;
    case Code::kIo:
    case Code::kNoSpace:
    case Code::kFileLimit:
    case Code::kReadOnly:
      return EX_IOERR;
    case Code::kPermission:
      return EX_NOPERM;
    case Code::kConfig:
      return EX_CONFIG;
    case Code::kNotFound:
    case Code::kInvalid:
    case Code::kBusy:
    case Code::kCancelled:
    case Code::kSystem:
      return EX_OSERR;
  }
  return EX_OSERR;
}

}  // namespace keystone
