// SPDX-License-Identifier: Apache-2.0
// One pair of functions per codec. Decompression is bounded by the bytes that come out: a frame that goes on behind the
// limit is refused there, before anything more is taken.
#include "records/codec.hpp"

#include <fmt/format.h>
#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <new>

namespace sluice::records {
namespace {

constexpr std::array<std::string_view, kMaxCodec + 1> kNames = {"none", "gzip", "snappy", "lz4", "zstd"};
constexpr size_t kMaxInputBytes = std::numeric_limits<int32_t>::max();
constexpr size_t kFirstOutputBytes = 16 * 1024;
constexpr int kGzipWindowBits = 15 + 16;  // the largest window, and gzip's wrapper rather than zlib's
constexpr int kGzipMemLevel = 8;          // zlib's default

Status beyond_limit(size_t max_bytes) {
  return Status(StatusCode::too_large, fmt::format("records decompress to more than {} bytes", max_bytes));
}
Status damaged(Codec codec) {
  return Status(StatusCode::corrupt, fmt::format("damaged {} data", codec_name(codec)));
}
Status cannot_compress(Codec codec) {
  return Status(StatusCode::internal, fmt::format("{} could not compress", codec_name(codec)));
}

// Output that doubles up to a limit. At the limit it offers one byte more, elsewhere: a codec that uses it has gone too
// far.
class BoundedOutput {
 public:
  BoundedOutput(size_t in_bytes, size_t max_bytes) : max_bytes_(max_bytes) {
    buffer_.reserve(std::min(std::max(4 * std::min(in_bytes, max_bytes / 4), kFirstOutputBytes), max_bytes));
  }

  MutableBytes room() {
    const size_t used = buffer_.size();
    if (used == buffer_.capacity() && used < max_bytes_) buffer_.reserve(used > max_bytes_ / 2 ? max_bytes_ : 2 * used);
    if (used >= max_bytes_) return {&beyond_, 1};
    return {buffer_.data() + used, std::min(buffer_.capacity(), max_bytes_) - used};
  }
  // False: beyond the limit.
  bool wrote(size_t size) {
    if (size == 0) return true;
    if (buffer_.size() >= max_bytes_) return false;
    buffer_.resize(buffer_.size() + size);
    return true;
  }
  Buffer take() { return std::move(buffer_); }

 private:
  const size_t max_bytes_;
  Buffer buffer_;
  uint8_t beyond_ = 0;
};

// --- gzip

struct InflateEnd {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};
struct DeflateEnd {
  void operator()(z_stream* stream) const { deflateEnd(stream); }
};

Status compress_gzip(int level, Bytes in, Buffer& out) {
  z_stream stream{};
  const int clamped = level == kDefaultLevel ? Z_DEFAULT_COMPRESSION : std::clamp(level, 1, 9);
  if (deflateInit2(&stream, clamped, Z_DEFLATED, kGzipWindowBits, kGzipMemLevel, Z_DEFAULT_STRATEGY) != Z_OK) {
    return cannot_compress(Codec::gzip);
  }
  const std::unique_ptr<z_stream, DeflateEnd> end(&stream);
  const size_t before = out.size();
  out.resize(before + deflateBound(&stream, in.size()));
  stream.next_in = const_cast<uint8_t*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = out.data() + before;
  stream.avail_out = static_cast<uInt>(out.size() - before);
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return cannot_compress(Codec::gzip);
  out.resize(before + stream.total_out);
  return {};
}

Result<Buffer> decompress_gzip(Bytes in, size_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindowBits) != Z_OK) return fail(StatusCode::internal, "zlib has no memory");
  const std::unique_ptr<z_stream, InflateEnd> end(&stream);
  stream.next_in = const_cast<uint8_t*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  BoundedOutput out(in.size(), max_bytes);
  for (;;) {
    const MutableBytes room = out.room();
    stream.next_out = room.data();
    stream.avail_out = static_cast<uInt>(std::min<size_t>(room.size(), std::numeric_limits<uInt>::max()));
    const uInt offered = stream.avail_out;
    const int code = inflate(&stream, Z_NO_FLUSH);
    if (!out.wrote(offered - stream.avail_out)) return fail(beyond_limit(max_bytes));
    if (code == Z_STREAM_END) {
      if (stream.avail_in == 0) return out.take();
      inflateReset(&stream);  // another member follows
    } else if (code != Z_OK) {
      return fail(damaged(Codec::gzip));  // Z_BUF_ERROR: there is room, so the input has ended early
    }
  }
}

// --- snappy

// xerial's framing: this header, then blocks, each a big-endian length and as many bytes of raw snappy. Kafka's Java
// client writes blocks of 32 KiB; all clients known to us read both this and a raw block.
constexpr std::array<uint8_t, 16> kXerialHeader = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
constexpr size_t kXerialMagicBytes = 8;
constexpr size_t kXerialBlockBytes = 32 * 1024;
// A snappy element of 3 bytes copies at most 64: a block that claims more than this many times its size lies.
constexpr size_t kMaxSnappyRatio = 22;

bool starts_with_xerial(Bytes in) {
  return in.size() >= kXerialHeader.size() &&
         std::equal(kXerialHeader.begin(), kXerialHeader.begin() + kXerialMagicBytes, in.begin());
}

Status compress_snappy(Bytes in, Buffer& out) {
  out.append(kXerialHeader);
  for (size_t at = 0; at < in.size(); at += kXerialBlockBytes) {
    const Bytes block = in.subspan(at, std::min(kXerialBlockBytes, in.size() - at));
    const size_t before = out.size();
    out.resize(before + sizeof(int32_t) + snappy::MaxCompressedLength(block.size()));
    size_t size = 0;
    snappy::RawCompress(as_text(block).data(), block.size(),
                        reinterpret_cast<char*>(out.data() + before + sizeof(int32_t)), &size);
    store_be(out.data() + before, static_cast<int32_t>(size));
    out.resize(before + sizeof(int32_t) + size);
  }
  return {};
}

Status append_snappy_block(Bytes block, size_t max_bytes, Buffer& out) {
  const std::string_view text = as_text(block);
  size_t size = 0;
  if (!snappy::GetUncompressedLength(text.data(), text.size(), &size)) return damaged(Codec::snappy);
  if (size > max_bytes - out.size()) return beyond_limit(max_bytes);
  if (size / kMaxSnappyRatio > block.size()) return damaged(Codec::snappy);
  const size_t before = out.size();
  out.resize(before + size);
  // An empty block writes nothing, but snappy wants a place all the same.
  char nowhere = 0;
  char* place = size == 0 ? &nowhere : reinterpret_cast<char*>(out.data() + before);
  if (!snappy::RawUncompress(text.data(), text.size(), place)) return damaged(Codec::snappy);
  return {};
}

Result<Buffer> decompress_snappy(Bytes in, size_t max_bytes) {
  Buffer out;
  if (!starts_with_xerial(in)) {
    if (Status status = append_snappy_block(in, max_bytes, out); !status) return fail(std::move(status));
    return out;
  }
  while (!in.empty()) {
    if (starts_with_xerial(in)) {  // at the start, and where streams were put together
      in = in.subspan(kXerialHeader.size());
      continue;
    }
    ByteReader reader(in);
    const auto size = reader.read_be<int32_t>();
    if (reader.failed() || size <= 0 || static_cast<size_t>(size) > reader.left()) return fail(damaged(Codec::snappy));
    const Bytes block = reader.read_bytes(static_cast<size_t>(size));
    if (Status status = append_snappy_block(block, max_bytes, out); !status) return fail(std::move(status));
    in = reader.rest();
  }
  return out;
}

// --- lz4

struct FreeLz4 {
  void operator()(LZ4F_dctx* context) const { LZ4F_freeDecompressionContext(context); }
};

Status compress_lz4(int level, Bytes in, Buffer& out) {
  // As Kafka's Java client writes it, which cannot read blocks that depend on each other.
  LZ4F_preferences_t preferences = LZ4F_INIT_PREFERENCES;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.compressionLevel = level == kDefaultLevel ? 0 : std::clamp(level, 1, 17);
  const size_t before = out.size();
  out.resize(before + LZ4F_compressFrameBound(in.size(), &preferences));
  const size_t size = LZ4F_compressFrame(out.data() + before, out.size() - before, in.data(), in.size(), &preferences);
  if (LZ4F_isError(size) != 0) return cannot_compress(Codec::lz4);
  out.resize(before + size);
  return {};
}

Result<Buffer> decompress_lz4(Bytes in, size_t max_bytes) {
  LZ4F_dctx* raw = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&raw, LZ4F_VERSION)) != 0)
    return fail(StatusCode::internal, "lz4 has no memory");
  const std::unique_ptr<LZ4F_dctx, FreeLz4> context(raw);
  BoundedOutput out(in.size(), max_bytes);
  bool inside = true;  // a frame that has begun, or must
  while (inside || !in.empty()) {
    const MutableBytes room = out.room();
    size_t written = room.size();
    size_t consumed = in.size();
    const size_t hint = LZ4F_decompress(context.get(), room.data(), &written, in.data(), &consumed, nullptr);
    if (LZ4F_isError(hint) != 0) return fail(damaged(Codec::lz4));
    if (!out.wrote(written)) return fail(beyond_limit(max_bytes));
    in = in.subspan(consumed);
    inside = hint != 0;
    if (inside && consumed == 0 && written == 0) return fail(damaged(Codec::lz4));  // it wants more than there is
  }
  return out.take();
}

// --- zstd

struct FreeZstd {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Status compress_zstd(int level, Bytes in, Buffer& out) {
  const int clamped =
      level == kDefaultLevel ? ZSTD_defaultCLevel() : std::clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel());
  const size_t before = out.size();
  out.resize(before + ZSTD_compressBound(in.size()));
  const size_t size = ZSTD_compress(out.data() + before, out.size() - before, in.data(), in.size(), clamped);
  if (ZSTD_isError(size) != 0) return cannot_compress(Codec::zstd);
  out.resize(before + size);
  return {};
}

// Straight into the output, and once more with twice the room where that did not suffice: the streaming interface would
// allocate whatever window a frame asks for, 128 MiB at worst, and clients ask for windows far larger than their
// batches.
Result<Buffer> decompress_zstd(Bytes in, size_t max_bytes) {
  if (in.empty()) return fail(damaged(Codec::zstd));
  const std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  if (context == nullptr) return fail(StatusCode::internal, "zstd has no memory");
  size_t capacity = std::min(std::max(4 * std::min(in.size(), max_bytes / 4), kFirstOutputBytes), max_bytes);
  const unsigned long long claimed = ZSTD_getFrameContentSize(in.data(), in.size());
  if (claimed == ZSTD_CONTENTSIZE_ERROR) return fail(damaged(Codec::zstd));
  if (claimed != ZSTD_CONTENTSIZE_UNKNOWN && claimed > max_bytes) return fail(beyond_limit(max_bytes));
  for (;;) {
    Buffer out(capacity);
    uint8_t nowhere = 0;
    void* place = capacity == 0 ? &nowhere : out.data();
    const size_t size = ZSTD_decompressDCtx(context.get(), place, capacity, in.data(), in.size());
    if (ZSTD_isError(size) == 0) {
      out.resize(size);
      return out;
    }
    if (ZSTD_getErrorCode(size) != ZSTD_error_dstSize_tooSmall) return fail(damaged(Codec::zstd));
    if (capacity == max_bytes) return fail(beyond_limit(max_bytes));
    capacity = capacity > max_bytes / 2 ? max_bytes : 2 * capacity;
  }
}

Status compress_with(Codec codec, int level, Bytes in, Buffer& out) {
  switch (codec) {
    case Codec::none:
      out.append(in);
      return {};
    case Codec::gzip:
      return compress_gzip(level, in, out);
    case Codec::snappy:
      return compress_snappy(in, out);
    case Codec::lz4:
      return compress_lz4(level, in, out);
    case Codec::zstd:
      return compress_zstd(level, in, out);
  }
  return Status(StatusCode::invalid, fmt::format("no codec {}", static_cast<int>(codec)));
}

Result<Buffer> decompress_with(Codec codec, Bytes in, size_t max_bytes) {
  switch (codec) {
    case Codec::none:
      if (in.size() > max_bytes) return fail(beyond_limit(max_bytes));
      return Buffer::copy_of(in);
    case Codec::gzip:
      return decompress_gzip(in, max_bytes);
    case Codec::snappy:
      return decompress_snappy(in, max_bytes);
    case Codec::lz4:
      return decompress_lz4(in, max_bytes);
    case Codec::zstd:
      return decompress_zstd(in, max_bytes);
  }
  return fail(StatusCode::invalid, fmt::format("no codec {}", static_cast<int>(codec)));
}

}  // namespace

std::string_view codec_name(Codec codec) {
  const auto index = static_cast<size_t>(codec);
  return index < kNames.size() ? kNames[index] : "unknown";
}

std::optional<Codec> codec_by_name(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Codec>(found - kNames.begin());
}

Status compress(Codec codec, int level, Bytes in, Buffer& out) {
  if (in.size() > kMaxInputBytes) return Status(StatusCode::too_large, "more than 2 GiB to compress");
  try {
    return compress_with(codec, level, in, out);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::internal, "no memory to compress");
  }
}

Result<Buffer> decompress(Codec codec, Bytes in, size_t max_bytes) {
  if (in.size() > kMaxInputBytes) return fail(StatusCode::too_large, "more than 2 GiB to decompress");
  try {
    return decompress_with(codec, in, max_bytes);
  } catch (const std::bad_alloc&) {
    return fail(StatusCode::internal, "no memory to decompress");
  }
}

Result<Bytes> uncompressed_records(const BatchView& batch, size_t max_bytes, Buffer& scratch) {
  if (batch.codec() == Codec::none) return batch.records_section();
  Result<Buffer> records = decompress(batch.codec(), batch.records_section(), max_bytes);
  if (!records) return tl::unexpected(std::move(records.error()));
  scratch = std::move(*records);
  return scratch.view();
}

}  // namespace sluice::records
