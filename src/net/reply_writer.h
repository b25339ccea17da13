// Replies in the words of the protocol that the request came by. Pure; any thread.
#ifndef KEYSTONE_NET_REPLY_WRITER_H_
#define KEYSTONE_NET_REPLY_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/reply.h"
#include "net/request.h"

namespace keystone {

// What a reply's form depends on, beside its content.
struct ReplyForm {
  Protocol protocol = Protocol::kLine;
  uint8_t verb = 0;           // of the request
  std::string_view key = {};  // of the value
};

// A value that could not be read while it was copied becomes an error. False for an error.
bool AppendReply(const ReplyForm& form, const Reply& reply, std::string* out);

// What stands before and behind a value that is sent from where it is. False: this one has to be
// encoded, so AppendReply it is.
bool AppendValueHead(const ReplyForm& form, const Reply& reply, std::string* out);
void AppendValueTail(const ReplyForm& form, std::string* out);

// That of a command that was done, or was not.
void AppendStatus(const ReplyForm& form, const Status& status, std::string* out);

// What stands before and behind the replies to several keys, or the parts of a transaction.
void AppendCount(const ReplyForm& form, size_t count, std::string* out);
void AppendEnd(const ReplyForm& form, std::string* out);

// Of transactions: a request waits for the commit; nothing was done, because a key has changed.
void AppendQueued(const ReplyForm& form, std::string* out);
void AppendConflict(const ReplyForm& form, std::string* out);

}  // namespace keystone

#endif  // KEYSTONE_NET_REPLY_WRITER_H_
