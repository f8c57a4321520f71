/* SPDX-License-Identifier: Apache-2.0
 *
 * The header is C11, needs nothing before it, may be included twice, and has the layout that is pinned. */
#include "sluice/storage_abi.h"
#include "sluice/storage_abi.h"

#include <assert.h>
#include <stddef.h>

#define SIZE(type, bytes) static_assert(sizeof(type) == (bytes), "the size of " #type " changed");
#define PLACE(type, member, offset) static_assert(offsetof(type, member) == (offset), #member " of " #type " moved");
#include "storage_abi_layout.h"

/* Called by layout_test.cc, so that both languages are known to see the same. */
int sluice_abi_c_constants(unsigned long long *magic, int *unknown);
int sluice_abi_c_constants(unsigned long long *magic, int *unknown) {
  *magic = SLUICE_ABI_MAGIC;
  *unknown = SLUICE_UNKNOWN;
  return (int)SLUICE_ABI_MAJOR;
}
