// SPDX-License-Identifier: Apache-2.0
// Operations are applied one by one, so that an error names the one that failed, and each is checked before it may copy
// anything: "copy" doubles a state as often as a patch says it.
#include "sluice/diff.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "diff/state.hpp"

namespace sluice {

using diff::Json;

namespace {

constexpr int64_t kVersion = 1;
constexpr uint32_t kMostDepth = 512;
constexpr size_t kHashDigits = 64;
constexpr size_t kMaxWorkPerByte = 64;  // what a patch may copy and move, for each byte that a state may have

Status check_limits(const DiffLimits& limits) {
  if (limits.max_depth >= 1 && limits.max_depth <= kMostDepth) return {};
  return Status(StatusCode::invalid,
                fmt::format("diff.max_depth: {} is not from 1 to {}", limits.max_depth, kMostDepth));
}

Result<Json> parse_state(std::string_view text, const DiffLimits& limits, std::string_view what) {
  if (Status status = check_limits(limits); !status) return fail(std::move(status));
  Result<Json> state = diff::parse(text, limits.max_state_bytes, limits.max_depth, what);
  if (state) diff::normalise(*state);
  return state;
}

struct Diff {
  std::string before;
  std::string after;
  Json patch;
};

bool is_hash(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().size() == kHashDigits &&
         value.get_ref<const std::string&>().find_first_not_of("0123456789abcdef") == std::string::npos;
}

Result<Diff> parse_diff(std::string_view text, const DiffLimits& limits) {
  // Three levels are the diff's own: itself, the patch, an operation.
  Result<Json> document = diff::parse(text, limits.max_patch_bytes, limits.max_depth + 3, "diff");
  if (!document) return fail(document.error());
  const auto invalid = [](std::string_view what) { return fail(StatusCode::invalid, fmt::format("diff: {}", what)); };
  if (!document->is_object()) return invalid("not an object");
  const auto version = document->find("version");
  if (version == document->end() || !version->is_number_integer()) return invalid("/version: no number");
  if (*version != kVersion) {
    return fail(StatusCode::unsupported,
                fmt::format("diff: /version: {}, known here is {}", version->dump(), kVersion));
  }
  for (const char* name : {"before", "after"}) {
    if (!document->contains(name) || !is_hash((*document)[name])) return invalid(fmt::format("/{}: no hash", name));
  }
  const auto patch = document->find("patch");
  if (patch == document->end() || !patch->is_array()) return invalid("/patch: no array");
  if (document->size() != 4) return invalid("members that are not known");
  if (patch->size() > limits.max_operations) {
    return fail(StatusCode::too_large,
                fmt::format("diff: /patch: {} operations, the limit is {}", patch->size(), limits.max_operations));
  }
  Diff made;
  made.before = (*document)["before"].get<std::string>();
  made.after = (*document)["after"].get<std::string>();
  made.patch = std::move(*patch);
  diff::normalise(made.patch);
  return made;
}

uint32_t depth_of(const Json& value) {
  uint32_t deepest = 0;
  if (value.is_structured()) {
    for (const Json& element : value) deepest = std::max(deepest, depth_of(element));
    deepest += 1;
  }
  return deepest;
}

class Patcher {
 public:
  Patcher(Json state, const DiffLimits& limits) : state_(std::move(state)), limits_(limits) {}

  Status apply(const Json& patch) {
    for (size_t i = 0; i < patch.size(); ++i) {
      if (Status status = apply_one(patch[i]); !status) {
        return status.in(fmt::format("diff: /patch/{}{}", i, where(patch[i])));
      }
    }
    return {};
  }
  Json take() { return std::move(state_); }

 private:
  using Pointer = Json::json_pointer;

  static std::string where(const Json& operation) {
    if (!operation.is_object() || !operation.contains("path") || !operation["path"].is_string()) return "";
    return fmt::format(" at '{}'", operation["path"].get_ref<const std::string&>());
  }

  Status apply_one(const Json& operation) {
    try {
      if (Status status = check(operation); !status) return status;
      state_.patch_inplace(Json::array({operation}));
      return {};
    } catch (const Json::parse_error& error) {
      return Status(StatusCode::invalid, error.what());
    } catch (const Json::type_error& error) {
      return Status(StatusCode::invalid, error.what());
    } catch (const Json::exception& error) {
      return Status(StatusCode::corrupt, error.what());  // the state is the right one, and lacks what is named
    }
  }

  // Whether the operation can be done within the limits, before it copies or moves anything.
  Status check(const Json& operation) {
    if (!operation.is_object()) return Status(StatusCode::invalid, "not an object");
    const auto text = [&](const char* name) -> const std::string& {
      return operation.at(name).get_ref<const std::string&>();
    };
    for (const char* name : {"op", "path"}) {
      if (!operation.contains(name)) return Status(StatusCode::invalid, fmt::format("no '{}'", name));
    }
    const std::string& op = text("op");
    const std::string& path = text("path");
    const Pointer target(path);
    const Json& state = state_;
    if (op == "test") return {};
    if (!target.empty()) {
      const Json& parent = state.at(target.parent_pointer());
      if (!parent.is_structured()) return Status(StatusCode::corrupt, "neither array nor object is above it");
      if (op != "replace" && parent.is_array()) work_ += parent.size();
    }
    const Json* added = nullptr;
    if (op == "add" || op == "replace") {
      if (!operation.contains("value")) return Status(StatusCode::invalid, "no 'value'");
      added = &operation["value"];
    } else if (op == "copy" || op == "move") {
      if (!operation.contains("from")) return Status(StatusCode::invalid, "no 'from'");
      const Pointer source(text("from"));
      if (op == "move" && path.starts_with(text("from") + "/")) {
        return Status(StatusCode::invalid, fmt::format("'{}' cannot move into itself", text("from")));
      }
      added = &state.at(source);
      if (op == "move" && !source.empty() && state.at(source.parent_pointer()).is_array()) {
        work_ += state.at(source.parent_pointer()).size();
      }
    }
    if (added != nullptr) {
      const auto steps = static_cast<uint32_t>(std::ranges::count(path, '/'));
      if (steps + depth_of(*added) > limits_.max_depth) {
        return Status(StatusCode::too_large, fmt::format("nested more than {} deep", limits_.max_depth));
      }
      const size_t bytes = added->dump().size();
      work_ += bytes;
      if (op == "copy") copied_bytes_ += bytes;
    }
    if (copied_bytes_ > limits_.max_state_bytes) {
      return Status(StatusCode::too_large, fmt::format("copies more than {} bytes", limits_.max_state_bytes));
    }
    if (work_ / kMaxWorkPerByte > limits_.max_state_bytes) return Status(StatusCode::too_large, "takes too much work");
    return {};
  }

  Json state_;
  const DiffLimits& limits_;
  size_t copied_bytes_ = 0;
  size_t work_ = 0;  // bytes copied and elements moved
};

Result<Json> patched(std::string_view state_text, std::string_view diff_text, const DiffLimits& limits) {
  Result<Json> state = parse_state(state_text, limits, "state");
  if (!state) return state;
  const Result<Diff> read = parse_diff(diff_text, limits);
  if (!read) return fail(read.error());
  if (const std::string found = diff::hash(*state); found != read->before) {
    return fail(StatusCode::conflict, fmt::format("state: its hash is {}, the diff is for {}", found, read->before));
  }
  Patcher patcher(std::move(*state), limits);
  if (Status status = patcher.apply(read->patch); !status) return fail(std::move(status));
  Json result = patcher.take();
  diff::normalise(result);
  if (const std::string found = diff::hash(result); found != read->after) {
    return fail(StatusCode::corrupt, fmt::format("diff: gives a state with hash {}, not {}", found, read->after));
  }
  return result;
}

}  // namespace

Result<std::string> diff_states(std::string_view before, std::string_view after, const DiffLimits& limits) {
  const Result<Json> from = parse_state(before, limits, "before");
  if (!from) return fail(from.error());
  const Result<Json> to = parse_state(after, limits, "after");
  if (!to) return fail(to.error());
  Json made = Json::object();
  made["version"] = kVersion;
  made["before"] = diff::hash(*from);
  made["after"] = diff::hash(*to);
  made["patch"] = Json::diff(*from, *to);
  if (made["patch"].size() > limits.max_operations) {
    return fail(StatusCode::too_large,
                fmt::format("{} operations, the limit is {}", made["patch"].size(), limits.max_operations));
  }
  std::string text = made.dump();
  if (text.size() > limits.max_patch_bytes) {
    return fail(StatusCode::too_large,
                fmt::format("a diff of {} bytes, the limit is {}", text.size(), limits.max_patch_bytes));
  }
  return text;
}

Result<std::string> apply_diff(std::string_view state, std::string_view diff, const DiffLimits& limits) {
  const Result<Json> result = patched(state, diff, limits);
  if (!result) return fail(result.error());
  std::string text = result->dump();
  if (text.size() > limits.max_state_bytes) {
    return fail(StatusCode::too_large,
                fmt::format("a state of {} bytes, the limit is {}", text.size(), limits.max_state_bytes));
  }
  return text;
}

Status verify_diff(std::string_view state, std::string_view diff, const DiffLimits& limits) {
  const Result<std::string> result = apply_diff(state, diff, limits);
  return result ? Status() : result.error();
}

Result<std::string> hash_state(std::string_view state, const DiffLimits& limits) {
  const Result<Json> parsed = parse_state(state, limits, "state");
  if (!parsed) return fail(parsed.error());
  return diff::hash(*parsed);
}

}  // namespace sluice
