// SPDX-License-Identifier: Apache-2.0
// Compression of a batch's records with the codecs of the protocol (zstd: KIP-110), in the framings that Kafka's
// clients use: gzip (RFC 1952), xerial's framing of snappy blocks, the LZ4 frame format, zstd frames. Any thread;
// nothing is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "records/batch.hpp"

namespace sluice::records {

/// The codec's own default.
constexpr int kDefaultLevel = -1000;

/// "none", "gzip", "snappy", "lz4", "zstd": as in Kafka's configuration.
std::string_view codec_name(Codec codec);
std::optional<Codec> codec_by_name(std::string_view name);

/// Appends the compressed form of `in` to `out`. Levels are those of KIP-390: gzip 1 to 9, lz4 1 to 17, zstd -131072 to
/// 22, out of range: the nearest; snappy and none have none. Errors: invalid (no such codec), too_large (above 2 GiB),
/// internal.
Status compress(Codec codec, int level, Bytes in, Buffer& out);

/// What `in` was compressed from, if it is at most `max_bytes` long. Memory grows with what comes out, never beyond the
/// limit and the codec's own state (below 1 MiB; lz4 up to 9 MiB): what a frame claims is not believed. Concatenated
/// frames are read as one; for snappy both xerial's framing and a single raw block. Errors: too_large, corrupt, invalid
/// (no such codec), internal (no memory).
Result<Buffer> decompress(Codec codec, Bytes in, size_t max_bytes);

/// The batch's records, uncompressed: in the batch itself, or in `scratch`, which then holds them. Errors as for
/// decompress.
Result<Bytes> uncompressed_records(const BatchView& batch, size_t max_bytes, Buffer& scratch);

}  // namespace sluice::records
