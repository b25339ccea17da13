#include "base/memory.h"

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace keystone {

void ReturnFreeMemory() {
#ifdef __GLIBC__
  (void)::malloc_trim(0);
#endif
}

}  // namespace keystone
