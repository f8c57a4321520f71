// SPDX-License-Identifier: Apache-2.0
// save and load.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

void expect_value(Log& log, const std::string& name, const std::string& value) {
  const LoadAnswer answer = log.load(name);
  expect_status(SLUICE_OK, answer, "load");
  require(answer.present, "the value \"{}\" is absent", name);
  require(answer.value == value, "the value \"{}\" has {} bytes and is not what was saved ({} bytes)", name,
          answer.value.size(), value.size());
}

void expect_absent(Log& log, const std::string& name) {
  const LoadAnswer answer = log.load(name);
  require(answer.status == SLUICE_OK, "load of an absent value answered {}; NOT_FOUND means the log",
          status_text(answer.status));
  require(!answer.present, "the value \"{}\" is there", name);
}

std::string pattern(Context& context, size_t size) {
  std::string value(size, '\0');
  for (char& byte : value) byte = static_cast<char>(context.random()());
  return value;
}

void round_trip(Context& context) {
  FreshLog log(context);
  for (const size_t size : {1, 100, 65'536, 65'537, 524'287, 524'288}) {
    const std::string value = pattern(context, size);
    expect_status(SLUICE_OK, log->save(0, "value", value), "save");
    expect_value(*log, "value", value);
  }
  require(log->bounds().end == 0, "save moved the end of the log");
}

void names(Context& context) {
  FreshLog log(context);
  FreshLog other(context);
  const std::vector<std::string> all{"a",
                                     "A",
                                     "a/b",
                                     "..",
                                     ".",
                                     "/",
                                     "\\",
                                     " ",
                                     "a b",
                                     "\xc3\xbc",
                                     "%2e",
                                     "con",
                                     "a.tmp",
                                     "snapshot-1",
                                     "-",
                                     "~",
                                     std::string(64, 'n'),
                                     std::string(63, 'n') + "m",
                                     "x\ty"};
  for (const std::string& name : all) expect_status(SLUICE_OK, log->save(0, name, "value of " + name), "save");
  for (const std::string& name : all) expect_value(*log, name, "value of " + name);
  for (const std::string& name : all) expect_absent(*other, name);
  for (const std::string& wrong : {std::string(), std::string(65, 'n')}) {
    const Answer saved = log->save(0, wrong, "value");
    require(saved.status == SLUICE_INVALID, "save with a name of {} bytes answered {}", wrong.size(),
            status_text(saved.status));
    const LoadAnswer loaded = log->load(wrong);
    require(loaded.status == SLUICE_INVALID, "load with a name of {} bytes answered {}", wrong.size(),
            status_text(loaded.status));
  }
}

void too_large(Context& context) {
  FreshLog log(context);
  expect_status(SLUICE_OK, log->save(0, "value", "small"), "save");
  expect_status(SLUICE_TOO_LARGE, log->save(0, "value", std::string(SLUICE_LARGEST_VALUE + 1, 'x')),
                "save of 512 KiB + 1");
  expect_value(*log, "value", "small");
}

void removing(Context& context) {
  FreshLog log(context);
  expect_absent(*log, "value");
  expect_status(SLUICE_OK, log->save(0, "value", ""), "save of nothing under a name that is absent");
  expect_absent(*log, "value");
  expect_status(SLUICE_OK, log->save(0, "value", "one"), "save");
  expect_status(SLUICE_OK, log->save(0, "other", "two"), "save");
  expect_status(SLUICE_OK, log->save(0, "value", ""), "save of nothing");
  expect_absent(*log, "value");
  expect_value(*log, "other", "two");
}

void tokens(Context& context) {
  FreshLog log(context);
  expect_status(SLUICE_OK, log->fence(5), "fence");
  expect_status(SLUICE_OK, log->save(5, "value", "kept"), "save");
  for (const uint64_t token : {uint64_t{0}, uint64_t{4}, uint64_t{6}}) {
    expect_status(SLUICE_FENCED, log->save(token, "value", "wrong"), "save with another token");
    expect_status(SLUICE_FENCED, log->save(token, "value", std::string(100'000, 'w')),
                  "a large save with another token");
    expect_status(SLUICE_FENCED, log->save(token, "value", ""), "removal with another token");
    expect_value(*log, "value", "kept");
  }
  expect_status(SLUICE_OK, log->fence(6), "fence");
  expect_value(*log, "value", "kept");
  expect_status(SLUICE_FENCED, log->save(5, "value", "wrong"), "save with a token that was fenced off");
}

// A lease on a value shows what it was when it was loaded.
void lease(Context& context) {
  FreshLog log(context);
  const std::string value = pattern(context, 100'000);
  expect_status(SLUICE_OK, log->save(0, "value", value), "save");
  auto call = context.call("load");
  auto* request = call->make<sluice_load>();
  auto* result = call->make<sluice_load_result>();
  request->name = call->copy(std::string("value"));
  request->name_size = 5;
  call->start([&](sluice_ticket* ticket) { return context.storage().api().load(log->raw(), ticket, request, result); });
  require(call->wait() == SLUICE_OK && result->present != 0, "load failed");
  expect_status(SLUICE_OK, log->save(0, "value", std::string(100'000, 'x')), "save");
  expect_status(SLUICE_OK, context.storage().delete_log(log.descriptor), "delete_log");
  const std::string shown(reinterpret_cast<const char*>(result->value), result->value_size);
  if (result->release != nullptr) result->release(result->owner);
  call->retire();
  require(shown == value, "a loaded value changed when it was replaced");
}

constexpr Check kChecks[] = {
    {"save.round_trip", "A named value of up to 512 KiB beside the log, replaced as a whole.", &round_trip},
    {"save.names", "Names have 1 to 64 bytes, any text, and belong to the log.", &names},
    {"save.too_large", "S12: A value beyond 512 KiB is TOO_LARGE.", &too_large},
    {"save.removes", "A value of size 0 removes; load of an absent name is OK and says absent.", &removing},
    {"save.tokens", "Token as for append; values outlive fences.", &tokens},
    {"load.lease", "What a load lends stays until release.", &lease},
};

}  // namespace

std::span<const Check> value_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
