// SPDX-License-Identifier: Apache-2.0
#include "c/page.hpp"

#include "c/boundary.hpp"

namespace sluice::c {

static_assert(SLUICE_SHARD_FAILED == static_cast<unsigned>(ShardCondition::failed));
static_assert(SLUICE_SHARD_STALLED == static_cast<unsigned>(ShardCondition::stalled));
static_assert(SLUICE_SHARD_CAPPED == static_cast<unsigned>(ShardCondition::capped));
static_assert(SLUICE_SHARD_FINISHED == static_cast<unsigned>(ShardCondition::finished));
static_assert(SLUICE_NO_TIMESTAMP == kNoTimestamp);

namespace {

RecordViews views_of(const Response& response) {
  RecordViews views;
  size_t header_count = 0;
  for (const MergedRecord& one : response.records) header_count += static_cast<size_t>(one->headers.count());
  views.reserve(response.records.size(), header_count);
  for (const MergedRecord& one : response.records) {
    sluice_record& record = views.add(*one);
    record.shard = one.shard;
    record.late = one.late ? 1 : 0;
  }
  return views;
}

std::vector<sluice_note> notes_of(const Response& response) {
  std::vector<sluice_note> notes;
  notes.reserve(response.notes.size());
  for (const ShardNote& from : response.notes) {
    sluice_note note{};
    note.shard_id = span_of(as_bytes(from.id));
    note.shard = from.shard;
    note.condition = static_cast<uint32_t>(from.condition);
    note.cause = static_cast<sluice_status>(from.cause.code());
    note.attempts = from.attempts;
    note.text = span_of(as_bytes(from.cause.text()));
    note.position = from.position;
    note.elapsed_ns = from.elapsed_ns;
    notes.push_back(note);
  }
  return notes;
}

}  // namespace

PageObject::PageObject(Response&& got)
    : Object(kKind), views(views_of(got)), notes(notes_of(got)), response(std::move(got)) {}

void PageObject::describe(sluice_polled& polled) const {
  polled.has_more = response.has_more ? 1 : 0;
  polled.done = response.done ? 1 : 0;
  polled.notes = static_cast<uint32_t>(response.notes.size());
  polled.records = response.records.size();
  polled.rejected = response.rejected;
  polled.corrupt = response.corrupt;
  polled.late = response.late;
  polled.lost = response.lost;
  polled.elapsed_ns = response.elapsed_ns;
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_page_records(sluice_handle page, const sluice_record** records, uint64_t* count,
                                  sluice_failure* failure) {
  return on<PageObject>(page, failure, [&](PageObject& object) -> Verdict {
    if (records == nullptr || count == nullptr) return Status(StatusCode::invalid, "records or count is NULL");
    *records = object.views.records.data();
    *count = object.views.records.size();
    return {};
  });
}

sluice_status sluice_page_notes(sluice_handle page, const sluice_note** notes, uint64_t* count,
                                sluice_failure* failure) {
  return on<PageObject>(page, failure, [&](PageObject& object) -> Verdict {
    if (notes == nullptr || count == nullptr) return Status(StatusCode::invalid, "notes or count is NULL");
    *notes = object.notes.data();
    *count = object.notes.size();
    return {};
  });
}

sluice_status sluice_page_cursor(sluice_handle page, char* buffer, uint64_t capacity, uint64_t* needed,
                                 sluice_failure* failure) {
  return on<PageObject>(page, failure, [&](PageObject& object) -> Verdict {
    return write_text(object.response.cursor.encode(), buffer, capacity, needed);
  });
}

const char* sluice_condition_name(uint32_t condition) {
  if (condition > SLUICE_SHARD_FINISHED) return "unknown";
  return condition_name(static_cast<ShardCondition>(condition)).data();  // names are literals
}

}  // extern "C"
