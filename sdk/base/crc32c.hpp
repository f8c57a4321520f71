// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli; RFC 3720 appendix B.4), the checksum of Kafka's record batches. Pure functions, any thread.
// Inputs of 24 bytes and more run three instruction streams side by side where the processor has a CRC32C instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// The checksum of what `crc` covers followed by `data`; 0 is the checksum of nothing.
uint32_t crc32c_extend(uint32_t crc, std::span<const uint8_t> data);

inline uint32_t crc32c(std::span<const uint8_t> data) {
  return crc32c_extend(0, data);
}

/// The checksum of A followed by B from those of A and B and the length of B in bytes, in O(log size_b).
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);

namespace crc32c_detail {
/// The two ways to compute, for tests that compare them. The first works everywhere; the second is only to be called
/// where has_instruction() holds.
uint32_t extend_with_tables(uint32_t crc, std::span<const uint8_t> data);
uint32_t extend_with_instruction(uint32_t crc, std::span<const uint8_t> data);
bool has_instruction();
}  // namespace crc32c_detail

}  // namespace sluice
