// SPDX-License-Identifier: Apache-2.0
// Sizes of structs, error buffers, deadlines.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// Members behind `size` belong to a host that does not know them: never written. (Guard bytes lie behind each struct.)
template <class T, class Function>
sluice_status call_with_size(Context& context, const char* name, size_t size, Function&& function) {
  auto call = context.call(name);
  T* result = call->make<T>(size);
  call->start([&](sluice_ticket* ticket) { return function(*call, ticket, result); });
  const sluice_status status = call->wait();
  require(result->size == size, "{} changed the `size` of the host's struct", name);
  if (size > sizeof(T)) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(result);
    for (size_t i = sizeof(T); i < size; ++i)
      require(bytes[i] == 0, "{} wrote members that this version does not have", name);
  }
  call->retire();
  return status;
}

void result_sizes(Context& context, bool newer) {
  FreshLog log(context);
  log->must_append(0, 0, make_unit(0, 3));
  const sluice_storage_api& api = context.storage().api();
  const auto size_of = [newer](size_t whole, size_t last_member) { return newer ? whole + 48 : last_member; };
  const auto expect = [](sluice_status status, const char* what) {
    require(status == SLUICE_OK, "{} with a struct of another size answered {}", what, status_text(status));
  };
  expect(
      call_with_size<sluice_bounds>(
          context, "bounds", size_of(sizeof(sluice_bounds), offsetof(sluice_bounds, largest_unit)),
          [&](Call&, sluice_ticket* ticket, sluice_bounds* result) { return api.bounds(log->raw(), ticket, result); }),
      "bounds");
  expect(call_with_size<sluice_locate_result>(
             context, "locate", size_of(sizeof(sluice_locate_result), offsetof(sluice_locate_result, end)),
             [&](Call&, sluice_ticket* ticket, sluice_locate_result* result) {
               return api.locate(log->raw(), ticket, 0, result);
             }),
         "locate");
  expect(call_with_size<sluice_fence_result>(context, "fence",
                                             size_of(sizeof(sluice_fence_result), offsetof(sluice_fence_result, token)),
                                             [&](Call&, sluice_ticket* ticket, sluice_fence_result* result) {
                                               return api.fence(log->raw(), ticket, 0, result);
                                             }),
         "fence");
  expect(call_with_size<sluice_append_result>(
             context, "append", size_of(sizeof(sluice_append_result), offsetof(sluice_append_result, token)),
             [&](Call& call, sluice_ticket* ticket, sluice_append_result* result) {
               const Batch batch = make_batch(3, 3);
               auto* request = call.make<sluice_append>(newer ? sizeof(sluice_append) + 48 : sizeof(sluice_append));
               auto* element = call.make_element<sluice_batch>(1);
               element->data = call.copy(batch.bytes.data(), batch.bytes.size());
               element->size = batch.bytes.size();
               element->base_offset = element->last_offset = 3;
               element->record_count = 1;
               request->at = 3;
               request->batches = element;
               request->batch_count = 1;
               request->bytes = batch.bytes.size();
               return api.append(log->raw(), ticket, request, result);
             }),
         "append");
  if (!newer) return;  // what is lent needs its release
  expect(call_with_size<sluice_read_result>(context, "read", sizeof(sluice_read_result) + 48,
                                            [&](Call& call, sluice_ticket* ticket, sluice_read_result* result) {
                                              auto* request = call.make<sluice_read>(sizeof(sluice_read) + 48);
                                              request->offset = 4;
                                              request->limit = kNoLimit;
                                              return api.read(log->raw(), ticket, request, result);
                                            }),
         "read");
  expect(call_with_size<sluice_load_result>(context, "load", sizeof(sluice_load_result) + 48,
                                            [&](Call& call, sluice_ticket* ticket, sluice_load_result* result) {
                                              auto* request = call.make<sluice_load>(sizeof(sluice_load) + 48);
                                              request->name = call.copy(std::string("absent"));
                                              request->name_size = 6;
                                              return api.load(log->raw(), ticket, request, result);
                                            }),
         "load");
}

void larger(Context& context) {
  result_sizes(context, true);
}
void smaller(Context& context) {
  result_sizes(context, false);
}

void condition_sizes(Context& context) {
  Storage& storage = context.storage();
  for (const size_t size :
       {offsetof(sluice_condition, largest_unit), offsetof(sluice_condition, server),
        offsetof(sluice_condition, advice), sizeof(sluice_condition), sizeof(sluice_condition) + 64}) {
    Guarded memory(size);
    LifecycleError error;
    auto* condition = reinterpret_cast<sluice_condition*>(memory.data());
    condition->size = static_cast<uint32_t>(size);
    const sluice_status status = storage.api().health(storage.raw(), deadline_in_ms(10'000), condition, &error.error);
    require(status == SLUICE_OK, "health answered {}", status_text(status));
    require(memory.guards_intact(), "health wrote beyond a sluice_condition of {} bytes", size);
    require(condition->size == size, "health changed `size`");
  }
}

void error_texts(Context& context) {
  constexpr uint32_t kLargestCapacity = 200;
  FreshLog log(context);
  for (const uint32_t capacity : {0u, 1u, 2u, 8u, 17u, kLargestCapacity}) {
    auto call = context.call("append");
    call->set_error_capacity(capacity);
    const Batch batch = make_batch(7, 7);
    auto* request = call->make<sluice_append>();
    auto* result = call->make<sluice_append_result>();
    auto* element = call->make_element<sluice_batch>(1);
    element->data = call->copy(batch.bytes.data(), batch.bytes.size());
    element->size = batch.bytes.size();
    element->base_offset = element->last_offset = 7;
    element->record_count = 1;
    request->at = 7;
    request->batches = element;
    request->batch_count = 1;
    request->bytes = batch.bytes.size();
    call->start(
        [&](sluice_ticket* ticket) { return context.storage().api().append(log->raw(), ticket, request, result); });
    const sluice_status status = call->wait();  // judges the guards and the NUL
    require(status == SLUICE_CONFLICT, "append answered {}", status_text(status));
    if (capacity == kLargestCapacity) require(!call->text().empty(), "a call that failed says nothing of why");
    call->retire();
  }
}

// A deadline that is over is no reason to lose a call, nor to say something that is not so.
void deadlines(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  for (const size_t size : {size_t{200}, context.unit_bytes(300'000)}) {
    for (const int64_t deadline_ms : {-1'000, 0}) {
      const Unit unit = make_unit(end, 1, size);
      const AppendAnswer answer = log->send(log->bounds().token, end, unit, 0, deadline_in_ms(deadline_ms)).wait();
      require(answer.ok() || answer.status == SLUICE_UNAVAILABLE || answer.status == SLUICE_UNKNOWN ||
                  answer.status == SLUICE_BUSY,
              "an append whose deadline is over answered {}", status_text(answer.status));
      const FenceAnswer fence = log->fence(log->bounds().token + 1);
      expect_status(SLUICE_OK, fence, "fence");
      if (answer.ok()) require(fence.end == end + 1, "an acknowledged append did not land");
      if (answer.status == SLUICE_UNAVAILABLE || answer.status == SLUICE_BUSY) {
        require(fence.end == end, "an append that was refused has landed");
      }
      if (fence.end > end) all.push_back(unit.front());
      end = fence.end;
    }
  }
  verify_content(*log, all, 0, end);
}

constexpr Check kChecks[] = {
    {"structs.larger", "A newer host's structs are longer: members behind those known are neither read nor written.",
     &larger},
    {"structs.smaller", "Members are written only within `size`.", &smaller},
    {"structs.condition", "... also those of sluice_condition, for each size it may have.", &condition_sizes},
    {"errors.text",
     "B18: At most text_capacity bytes of error text are written, NUL included; a call that fails explains itself.",
     &error_texts},
    {"calls.deadline", "B12: A call whose deadline is over is still answered once, and truly.", &deadlines},
};

}  // namespace

std::span<const Check> struct_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
