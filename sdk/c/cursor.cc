// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/cursor.h"

#include <fmt/format.h>

#include <mutex>

#include "c/boundary.hpp"
#include "sluice/cursor.hpp"

namespace sluice::c {
namespace {

class CursorObject final : public Object {
 public:
  static constexpr Kind kKind = Kind::cursor;
  explicit CursorObject(Cursor made) : Object(kKind), cursor_(std::move(made)) {}
  Cursor copy() {
    const std::scoped_lock lock(mutex_);
    return cursor_;
  }
  template <class Body>
  Verdict with(Body&& body) {
    const std::scoped_lock lock(mutex_);
    return body(cursor_);
  }

 private:
  std::mutex mutex_;
  Cursor cursor_;  // guarded by mutex_
};

Result<std::unique_ptr<CursorObject>> open_cursor(std::string_view text) {
  if (text.empty()) return std::make_unique<CursorObject>(Cursor());
  auto decoded = Cursor::decode(text);
  if (!decoded) return fail(std::move(decoded.error()));
  return std::make_unique<CursorObject>(std::move(*decoded));
}

/// Runs `body` with the cursor and the id, while nobody else does anything with it.
template <class Body>
sluice_status on_entry(sluice_handle cursor, const char* id, uint64_t id_size, sluice_failure* failure, Body&& body) {
  return on<CursorObject>(cursor, failure, [&](CursorObject& object) -> Verdict {
    const auto name = text_of(id, id_size, "id");
    if (!name) return name.error();
    return object.with([&](Cursor& made) -> Verdict { return body(made, *name); });
  });
}

template <class Join>
sluice_status join(sluice_handle left, sluice_handle right, sluice_handle* cursor, sluice_failure* failure,
                   Join&& joined) {
  return on<CursorObject>(left, failure, [&](CursorObject& object) -> Verdict {
    if (Status status = check_out(cursor, "cursor"); !status.ok()) return status;
    const auto other = acquire<CursorObject>(right);
    if (!other) return other.error();
    return give(std::make_unique<CursorObject>(joined(object.copy(), (*other)->copy())), cursor);
  });
}

Status not_named(std::string_view id) {
  return Status(StatusCode::not_found, fmt::format("the cursor does not name \"{}\"", id));
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_cursor_compare(const char* left, uint64_t left_size, const char* right, uint64_t right_size,
                                    int32_t* order, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(order, "order"); !status.ok()) return status;
    Cursor cursors[2];
    const std::pair<const char*, uint64_t> texts[2] = {{left, left_size}, {right, right_size}};
    for (int64_t i = 0; i < 2; ++i) {
      const auto text = text_of(texts[i].first, texts[i].second, i == 0 ? "left" : "right");
      if (!text) return {text.error(), i};
      auto decoded = Cursor::decode(*text);
      if (!decoded) return {decoded.error(), i};
      cursors[i] = std::move(*decoded);
    }
    switch (Cursor::compare(cursors[0], cursors[1])) {
      case CursorOrder::before:
        *order = -1;
        break;
      case CursorOrder::equal:
        *order = 0;
        break;
      case CursorOrder::after:
        *order = 1;
        break;
      case CursorOrder::apart:
        *order = 2;
        break;
    }
    return {};
  });
}

sluice_status sluice_cursor_open(const char* text, uint64_t text_size, sluice_handle* cursor, sluice_failure* failure) {
  return open_by({text, text_size, "text"}, cursor, "cursor", failure, &open_cursor);
}

sluice_status sluice_cursor_text(sluice_handle cursor, char* buffer, uint64_t capacity, uint64_t* needed,
                                 sluice_failure* failure) {
  return on<CursorObject>(cursor, failure, [&](CursorObject& object) -> Verdict {
    return write_text(object.copy().encode(), buffer, capacity, needed);
  });
}

sluice_status sluice_cursor_count(sluice_handle cursor, uint64_t* count, sluice_failure* failure) {
  return on<CursorObject>(cursor, failure, [&](CursorObject& object) -> Verdict {
    if (Status status = check_out(count, "count"); !status.ok()) return status;
    return object.with([&](const Cursor& made) -> Verdict {
      *count = made.size();
      return {};
    });
  });
}

sluice_status sluice_cursor_entry(sluice_handle cursor, uint64_t index, int64_t* next, char* buffer, uint64_t capacity,
                                  uint64_t* needed, sluice_failure* failure) {
  return on<CursorObject>(cursor, failure, [&](CursorObject& object) -> Verdict {
    return object.with([&](const Cursor& made) -> Verdict {
      if (index >= made.size()) {
        return Status(StatusCode::out_of_range, fmt::format("entry {} of {}", index, made.size()));
      }
      const Cursor::Entry entry = made.at(static_cast<size_t>(index));
      if (next != nullptr) *next = entry.next;
      return write_text(entry.id, buffer, capacity, needed);
    });
  });
}

sluice_status sluice_cursor_get(sluice_handle cursor, const char* id, uint64_t id_size, int64_t* next,
                                sluice_failure* failure) {
  return on_entry(cursor, id, id_size, failure, [&](const Cursor& made, std::string_view name) -> Verdict {
    if (Status status = check_out(next, "next"); !status.ok()) return status;
    const auto found = made.next(name);
    if (!found) return not_named(name);
    *next = *found;
    return {};
  });
}

sluice_status sluice_cursor_put(sluice_handle cursor, const char* id, uint64_t id_size, int64_t next,
                                sluice_failure* failure) {
  return on_entry(cursor, id, id_size, failure,
                  [&](Cursor& made, std::string_view name) -> Verdict { return made.set(name, next); });
}

sluice_status sluice_cursor_advance(sluice_handle cursor, const char* id, uint64_t id_size, int64_t next,
                                    sluice_failure* failure) {
  return on_entry(cursor, id, id_size, failure,
                  [&](Cursor& made, std::string_view name) -> Verdict { return made.advance(name, next); });
}

sluice_status sluice_cursor_forget(sluice_handle cursor, const char* id, uint64_t id_size, sluice_failure* failure) {
  return on_entry(cursor, id, id_size, failure, [&](Cursor& made, std::string_view name) -> Verdict {
    return made.erase(name) ? Status() : not_named(name);
  });
}

sluice_status sluice_cursor_least(sluice_handle left, sluice_handle right, sluice_handle* cursor,
                                  sluice_failure* failure) {
  return join(left, right, cursor, failure, &Cursor::least);
}

sluice_status sluice_cursor_greatest(sluice_handle left, sluice_handle right, sluice_handle* cursor,
                                     sluice_failure* failure) {
  return join(left, right, cursor, failure, &Cursor::greatest);
}

sluice_status sluice_parse_position(const char* text, uint64_t text_size, int64_t* position, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(position, "position"); !status.ok()) return status;
    const auto read = text_of(text, text_size, "text");
    if (!read) return read.error();
    const auto parsed = parse_position(*read);
    if (!parsed) return parsed.error();
    *position = *parsed;
    return {};
  });
}

}  // extern "C"
