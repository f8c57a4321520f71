// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_markers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::jetstream {

Markers::Markers(Engine& engine)
    : engine_(engine), stream_(engine.client, engine.settings, marker_stream(engine.settings.prefix)) {
  stream_.set_replicated(engine.settings.replicas > 1);
}

Task<Result<Markers::Found>> Markers::find(std::string stream, int64_t deadline_ns) {
  const auto stored = co_await stream_.last(marker_subject(engine_.settings.prefix, stream), deadline_ns);
  if (!stored) co_return fail(stored.error());
  Found found;
  if (!*stored) co_return found;
  found.sequence = (*stored)->sequence;
  if ((*stored)->payload.empty()) co_return found;
  found.marker = parse_marker((*stored)->payload);
  if (!found.marker || found.marker->stream != stream) {
    co_return fail(StatusCode::corrupt, fmt::format("message {} of stream {} does not say what stands for {}",
                                                    found.sequence, stream_.name(), stream));
  }
  co_return found;
}

Task<Result<std::optional<Marker>>> Markers::of(std::string stream, int64_t deadline_ns) {
  auto found = co_await find(std::move(stream), deadline_ns);
  if (!found) co_return fail(found.error());
  co_return std::move(found->marker);
}

Task<Result<uint64_t>> Markers::write(std::string stream, std::string text, uint64_t behind, int64_t deadline_ns) {
  Publishing publishing;
  publishing.subject = marker_subject(engine_.settings.prefix, stream);
  publishing.payload = as_bytes(text);
  publishing.expected_last_of_subject = behind;
  co_return co_await stream_.publish(publishing, deadline_ns);
}

Task<Status> Markers::put(Marker marker, int64_t deadline_ns) {
  for (int i = 0; i < kMostAttempts; ++i) {
    const auto found = co_await find(marker.stream, deadline_ns);
    if (!found) co_return found.error();
    if (found->marker == marker) co_return Status();
    if (found->marker) {
      co_return Status(
          StatusCode::exists,
          fmt::format("{} stands for the stream {}",
                      found->marker->id == marker.id ? "this log otherwise" : "another log", marker.stream));
    }
    const auto landed = co_await write(marker.stream, encode_marker(marker), found->sequence, deadline_ns);
    if (landed) co_return Status();
    if (landed.error().code() != StatusCode::conflict) co_return landed.error();
  }
  co_return Status(StatusCode::unavailable, "others adopt the stream at the same time");
}

Task<Status> Markers::remove(std::string stream, Uuid id, int64_t deadline_ns) {
  for (int i = 0; i < kMostAttempts; ++i) {
    const auto found = co_await find(stream, deadline_ns);
    if (!found) co_return found.error();
    if (!found->marker || found->marker->id != id) co_return Status();
    const auto landed = co_await write(stream, {}, found->sequence, deadline_ns);
    if (landed) {
      // Only to leave nothing behind: the empty message says the same.
      static_cast<void>(
          co_await stream_.purge(marker_subject(engine_.settings.prefix, stream), *landed + 1, 0, deadline_ns));
      co_return Status();
    }
    if (landed.error().code() != StatusCode::conflict) co_return landed.error();
  }
  co_return Status(StatusCode::unavailable, "others adopt the stream at the same time");
}

Task<Result<std::vector<Marker>>> Markers::all(int64_t deadline_ns) {
  std::vector<Marker> markers;
  const auto info = co_await stream_.info(deadline_ns);
  if (!info) co_return fail(info.error());
  for (uint64_t at = std::max<uint64_t>(info->first, 1); at <= info->last; at += kAtOnce) {
    const size_t count = static_cast<size_t>(std::min<uint64_t>(kAtOnce, info->last - at + 1));
    const auto found = co_await stream_.range(at, count, deadline_ns);
    if (!found) co_return fail(found.error());
    for (const auto& stored : *found) {
      if (!stored || stored->payload.empty()) continue;
      auto marker = parse_marker(stored->payload);
      if (marker) markers.push_back(std::move(*marker));
    }
  }
  co_return markers;
}

}  // namespace sluice::jetstream
