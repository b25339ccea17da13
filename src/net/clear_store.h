// TEMPORARY until Store::Clear is there.
#ifndef KEYSTONE_NET_CLEAR_STORE_H_
#define KEYSTONE_NET_CLEAR_STORE_H_

#include "store/store.h"

namespace keystone {

template <class AnyStore>
Status ClearStore(AnyStore* store) {
  if constexpr (requires { store->Clear(); }) {
    return store->Clear();
  } else {
    ScanResult result;
    do {
      if (Status status = store->Scan(result.next_cursor, 1000, {}, &result); !status.ok()) {
        return status;
      }
      Batch batch;
      for (const std::string& key : result.keys) batch.Delete(key);
      if (Status status = store->Apply(&batch); !status.ok()) return status;
    } while (result.next_cursor != 0);
    return Status::Ok();
  }
}

}  // namespace keystone

#endif  // KEYSTONE_NET_CLEAR_STORE_H_
