#include "journal.h"

#include <algorithm>

namespace crash {

std::string Describe(const Event& event) {
  const std::string number = std::to_string(event.number);
  switch (event.kind) {
    case Event::Kind::kMakeDirectory:
      return "mkdir " + event.path;
    case Event::Kind::kCreate:
      return "create " + event.path;
    case Event::Kind::kWrite:
      return "write " + std::to_string(event.bytes.size()) + " bytes at " + number + " of " +
             event.path;
    case Event::Kind::kResize:
      return "resize " + event.path + " to " + number;
    case Event::Kind::kSync:
      return "sync " + event.path;
    case Event::Kind::kRename:
      return "rename " + event.path + " to " + event.to;
    case Event::Kind::kUnlink:
      return "unlink " + event.path;
    case Event::Kind::kSubmitted:
      return number + " groups submitted";
    case Event::Kind::kAcknowledged:
      return number + " groups acknowledged";
    case Event::Kind::kDurable:
      return number + " groups durable";
  }
  return {};
}

void Names::Apply(const Event& event) {
  if (event.is_mark()) return;
  unused_ = std::max(unused_, event.file + 1);
  switch (event.kind) {
    case Event::Kind::kMakeDirectory:
    case Event::Kind::kCreate:
      files_[event.path] = event.file;
      break;
    case Event::Kind::kRename:
      files_.erase(event.path);
      files_[event.to] = event.file;
      break;
    case Event::Kind::kUnlink:
      files_.erase(event.path);
      break;
    default:
      break;
  }
}

int Names::Find(std::string_view path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? -1 : found->second;
}

}  // namespace crash
