// Commands from standard input: a prompt for people, a relay for pipes. Lines go to the server as
// they are, replies come back as they are.
#ifndef KEYSTONE_CLI_PROMPT_H_
#define KEYSTONE_CLI_PROMPT_H_

#include "base/status.h"
#include "cli/client.h"

namespace keystone {

// Reads lines at a prompt, with completion of command names and a history in ~/.keystone_history,
// until end of file or until the server hangs up.
Status RunPrompt(Client* client);

// Sends all of standard input, pipelined, and prints every reply; returns once all are there. True
// in `had_error` where one of them was an ERROR.
Status RunPipe(Client* client, bool* had_error);

}  // namespace keystone

#endif  // KEYSTONE_CLI_PROMPT_H_
