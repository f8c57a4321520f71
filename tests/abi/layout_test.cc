// SPDX-License-Identifier: Apache-2.0
// The same pins for C++, the values of the constants, and rules that hold for every struct: no padding that nobody
// named, and members in their natural places.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "sluice/storage_abi.h"

#define SIZE(type, bytes)                                                  \
  static_assert(sizeof(type) == (bytes), "the size of " #type " changed"); \
  static_assert(std::is_standard_layout_v<type> && std::is_trivial_v<type>, #type " is no plain struct");
#define PLACE(type, member, offset) static_assert(offsetof(type, member) == (offset), #member " of " #type " moved");
#include "storage_abi_layout.h"
#undef SIZE
#undef PLACE

extern "C" int sluice_abi_c_constants(unsigned long long* magic, int* unknown);

namespace {

TEST(StorageAbi, ConstantsAreForEver) {
  static_assert(SLUICE_OK == 0 && SLUICE_PENDING == 1);
  static_assert(SLUICE_INVALID == 100 && SLUICE_NOT_FOUND == 101 && SLUICE_EXISTS == 102 &&
                SLUICE_OUT_OF_RANGE == 103 && SLUICE_UNSUPPORTED == 104 && SLUICE_TOO_LARGE == 105);
  static_assert(SLUICE_CONFLICT == 200 && SLUICE_FENCED == 201);
  static_assert(SLUICE_UNAVAILABLE == 300 && SLUICE_BUSY == 301);
  static_assert(SLUICE_UNKNOWN == 400);
  static_assert(SLUICE_INTERNAL == 500 && SLUICE_DENIED == 501 && SLUICE_NO_SPACE == 502 && SLUICE_CORRUPT == 503);
  static_assert(SLUICE_KIND_LOG == 1 && SLUICE_KIND_NATIVE == 2);
  static_assert(SLUICE_CAP_DURABLE == 1 && SLUICE_CAP_POWER_SAFE == 2 && SLUICE_CAP_NO_ROLLBACK == 4 &&
                SLUICE_CAP_SHARED == 8 && SLUICE_CAP_ATOMIC == 16);
  static_assert(SLUICE_OPTION_TEXT == 1 && SLUICE_OPTION_INTEGER == 2 && SLUICE_OPTION_BOOLEAN == 3 &&
                SLUICE_OPTION_CHOICE == 4 && SLUICE_OPTION_SIZE == 5 && SLUICE_OPTION_DURATION == 6 &&
                SLUICE_OPTION_PATH == 7);
  static_assert(SLUICE_OPTION_REQUIRED == 1 && SLUICE_OPTION_SECRET == 2);
  static_assert(SLUICE_LOG_SYNC == 1 && SLUICE_LOG_SEVERAL_WRITERS == 2 && SLUICE_APPEND_SYNC == 1 &&
                SLUICE_BIND_REPLACE == 1 && SLUICE_ENTRY_FOREIGN == 1);
  static_assert(SLUICE_LARGEST_VALUE == 524288 && SLUICE_LONGEST_NAME == 64 && SLUICE_UNKNOWN_NUMBER == INT64_MIN);
  static_assert(std::is_same_v<sluice_status, int32_t>);

  const uint64_t magic = SLUICE_ABI_MAGIC;
  EXPECT_EQ(std::memcmp(&magic, "sluice\x1a\n", 8), 0);
}

TEST(StorageAbi, CAndCxxAgree) {
  unsigned long long magic = 0;
  int unknown = 0;
  EXPECT_EQ(sluice_abi_c_constants(&magic, &unknown), static_cast<int>(SLUICE_ABI_MAJOR));
  EXPECT_EQ(magic, SLUICE_ABI_MAGIC);
  EXPECT_EQ(unknown, SLUICE_UNKNOWN);
}

TEST(StorageAbi, TheEntrysFirstBytesNeverChange) {
  EXPECT_EQ(offsetof(sluice_plugin, magic), 0u);
  EXPECT_EQ(offsetof(sluice_plugin, size), 8u);
  EXPECT_EQ(offsetof(sluice_plugin, major), 12u);
  EXPECT_EQ(offsetof(sluice_plugin, minor), 16u);
  EXPECT_EQ(offsetof(sluice_plugin, lowest_host_minor), 20u);
  EXPECT_EQ(offsetof(sluice_plugin, name), 24u);
}

}  // namespace
