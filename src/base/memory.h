// Gives freed memory back to the system.
//
// Thread-safe.
#ifndef KEYSTONE_BASE_MEMORY_H_
#define KEYSTONE_BASE_MEMORY_H_

namespace keystone {

// Worth it after work that has freed much more than is needed from then on. Does nothing where the
// C library has no such call.
void ReturnFreeMemory();

}  // namespace keystone

#endif  // KEYSTONE_BASE_MEMORY_H_
