// Gives memory back to the system.
//
// Thread-safe.
#ifndef KEYSTONE_BASE_MEMORY_H_
#define KEYSTONE_BASE_MEMORY_H_

#include <cstddef>

namespace keystone {

// Worth it after work that has freed much more than is needed from then on. Does nothing where the
// C library has no such call.
void ReturnFreeMemory();

// The whole pages within are zeros from now on, and take no memory until they are used again. For
// memory that is no file's, of the stack or the heap.
void GiveBackPages(char* data, size_t size_bytes);

}  // namespace keystone

#endif  // KEYSTONE_BASE_MEMORY_H_
