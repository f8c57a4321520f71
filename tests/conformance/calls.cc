// SPDX-License-Identifier: Apache-2.0
// The raw calls: each is made with guarded structs, waited for, copied out, and retired.
#include <algorithm>

#include "conformance/world.hpp"

namespace sluice::conformance {
namespace {

// Storages and handles that cannot be freed, because a call on them was lost.
void keep_for_ever(const void* object) {
  static auto* const mutex = new std::mutex();
  static auto* const kept = new std::vector<const void*>();
  const std::lock_guard lock(*mutex);
  kept->push_back(object);
}

template <class A>
A answer_of(Call& call) {
  A answer;
  answer.status = call.wait();
  answer.text = call.text();
  return answer;
}

}  // namespace

Storage::Storage(Context& context, const host::OptionInputs& inputs, std::string data_directory)
    : context_(context), api_(context.plugin().api) {
  const auto values = host::check_options(context.plugin(), inputs, data_directory);
  if (!values) fail_check("option \"{}\": {}", values.error().option, values.error().text);
  std::vector<sluice_value> raw(values->size());
  for (size_t i = 0; i < raw.size(); ++i) {
    const host::OptionValue& value = (*values)[i];
    raw[i].present = value.present ? 1 : 0;
    raw[i].number = value.number;
    const uint32_t type = context.plugin().options[i].type;
    const bool textual = type == SLUICE_OPTION_TEXT || type == SLUICE_OPTION_PATH || type == SLUICE_OPTION_CHOICE;
    raw[i].text = value.present && textual ? value.text.c_str() : nullptr;
  }
  const std::string name = "conformance";
  sluice_create request{};
  request.size = sizeof request;
  request.value_count = static_cast<uint32_t>(raw.size());
  request.host = HostTable::instance().table();
  request.name = name.c_str();
  request.data_directory = data_directory.c_str();
  request.values = raw.data();
  LifecycleError error;
  const sluice_status status = api_->create(&request, &storage_, &error.error);
  require(status == SLUICE_OK, "create answered {}: {}", status_text(status), error.text);
  require(storage_ != nullptr, "create answered OK without a storage");
}

Storage::~Storage() {
  if (storage_ == nullptr) return;
  if (started_) {
    const Answer stopped = stop();
    if (!stopped.ok())
      HostTable::instance().breach(fmt::format("stop answered {}: {}", status_text(stopped.status), stopped.text));
  }
  if (context_.book().unanswered() > 0) {
    keep_for_ever(storage_);
    return;
  }
  api_->destroy(storage_);
}

ConditionAnswer Storage::condition_of(const char* name, sluice_status (*function)(sluice_storage*, int64_t,
                                                                                  sluice_condition*, sluice_error*)) {
  Guarded memory(sizeof(sluice_condition));
  auto* condition = reinterpret_cast<sluice_condition*>(memory.data());
  condition->size = sizeof *condition;
  LifecycleError error;
  ConditionAnswer answer;
  answer.status = function(storage_, deadline_in_ms(context_.options().lifecycle_timeout_ms), condition, &error.error);
  answer.text = error.text;
  require(memory.guards_intact(), "{} wrote behind the end of sluice_condition", name);
  require(std::memchr(condition->server, 0, sizeof condition->server) != nullptr, "{}: `server` is not NUL-terminated",
          name);
  require(std::memchr(condition->advice, 0, sizeof condition->advice) != nullptr, "{}: `advice` is not NUL-terminated",
          name);
  answer.kind = condition->kind;
  answer.capabilities = condition->capabilities;
  answer.largest_unit = condition->largest_unit;
  answer.appends_in_flight = condition->appends_in_flight;
  answer.server = condition->server;
  answer.advice = condition->advice;
  return answer;
}

ConditionAnswer Storage::start() {
  ConditionAnswer answer = condition_of("start", api_->start);
  started_ = answer.ok();
  if (answer.ok()) context_.note_condition(answer);
  return answer;
}

ConditionAnswer Storage::health() {
  return condition_of("health", api_->health);
}

void Storage::must_start() {
  const ConditionAnswer answer = start();
  expect_status(SLUICE_OK, answer, "start");
}

Answer Storage::stop() {
  LifecycleError error;
  Answer answer;
  answer.status = api_->stop(storage_, deadline_in_ms(context_.options().lifecycle_timeout_ms), &error.error);
  answer.text = error.text;
  if (answer.ok()) started_ = false;
  return answer;
}

Answer Storage::bind(Id& id, uint32_t flags) {
  Guarded memory(sizeof(sluice_bind));
  auto* bind = reinterpret_cast<sluice_bind*>(memory.data());
  bind->size = sizeof *bind;
  bind->flags = flags;
  std::copy(id.begin(), id.end(), bind->cluster_id);
  LifecycleError error;
  Answer answer;
  answer.status = api_->bind(storage_, deadline_in_ms(context_.options().lifecycle_timeout_ms), bind, &error.error);
  answer.text = error.text;
  require(memory.guards_intact(), "bind wrote behind the end of sluice_bind");
  std::copy(std::begin(bind->cluster_id), std::end(bind->cluster_id), id.begin());
  return answer;
}

Answer Storage::create_log(const Descriptor& descriptor) {
  auto call = context_.call("create_log");
  const auto* raw_descriptor = descriptor.in(*call);
  call->start([&](sluice_ticket* ticket) { return api_->create_log(storage_, ticket, raw_descriptor); });
  auto answer = answer_of<Answer>(*call);
  call->retire();
  return answer;
}

void Storage::must_create(const Descriptor& descriptor) {
  expect_status(SLUICE_OK, create_log(descriptor), "create_log");
}

Answer Storage::delete_log(const Descriptor& descriptor) {
  auto call = context_.call("delete_log");
  const auto* raw_descriptor = descriptor.in(*call);
  call->start([&](sluice_ticket* ticket) { return api_->delete_log(storage_, ticket, raw_descriptor); });
  auto answer = answer_of<Answer>(*call);
  call->retire();
  return answer;
}

ListAnswer Storage::list_logs() {
  auto call = context_.call("list_logs");
  auto* list = call->make<sluice_log_list>();
  call->start([&](sluice_ticket* ticket) { return api_->list_logs(storage_, ticket, list); });
  auto answer = answer_of<ListAnswer>(*call);
  if (answer.ok()) {
    for (uint32_t i = 0; i < list->count; ++i) {
      const sluice_log_entry& entry = list->entries[i];
      require(entry.topic != nullptr, "list_logs: an entry without a topic; \"\" stands for one that is not kept");
      ListEntry copied;
      std::copy(std::begin(entry.id), std::end(entry.id), copied.id.begin());
      copied.topic = entry.topic;
      copied.partition = entry.partition;
      copied.flags = entry.flags;
      answer.entries.push_back(std::move(copied));
    }
    if (list->release != nullptr) list->release(list->owner);
  }
  call->retire();
  return answer;
}

Log::Log(Storage& storage, const Descriptor& descriptor) : storage_(storage) {
  Call call("open", storage.context().options().call_timeout_ms);
  LifecycleError error;
  const sluice_status status = storage.api().open(storage.raw(), descriptor.in(call), &log_, &error.error);
  require(status == SLUICE_OK, "open answered {}: {}", status_text(status), error.text);
  require(log_ != nullptr, "open answered OK without a handle");
}

Log::~Log() {
  close();
}

void Log::close() {
  sluice_log* log = std::exchange(log_, nullptr);
  if (log == nullptr) return;
  const std::lock_guard lock(mutex_);
  const bool lost = std::any_of(calls_.begin(), calls_.end(), [](const auto& call) { return !call->answered(); });
  if (lost) {
    keep_for_ever(log);
  } else {
    storage_.api().close(log);
  }
}

std::shared_ptr<Call> Log::begin(const char* name) {
  auto call = storage_.context().call(name);
  const std::lock_guard lock(mutex_);
  std::erase_if(calls_, [](const auto& earlier) { return earlier->answered(); });
  calls_.push_back(call);
  return call;
}

SentAppend Log::send(uint64_t token, int64_t at, const Unit& unit, uint32_t flags, int64_t deadline_ns) {
  auto call = begin("append");
  if (deadline_ns != 0) call->set_deadline_ns(deadline_ns);
  auto* request = call->make<sluice_append>();
  auto* result = call->make<sluice_append_result>();
  auto* batches = call->make_element<sluice_batch>(unit.size());
  for (size_t i = 0; i < unit.size(); ++i) {
    batches[i].data = call->copy(unit[i].bytes.data(), unit[i].bytes.size());
    batches[i].size = unit[i].bytes.size();
    batches[i].base_offset = unit[i].base;
    batches[i].last_offset = unit[i].last;
    batches[i].max_timestamp = unit[i].timestamp;
    batches[i].record_count = unit[i].records;
    request->bytes += unit[i].bytes.size();
  }
  request->flags = flags;
  request->token = token;
  request->at = at;
  request->batches = batches;
  request->batch_count = static_cast<uint32_t>(unit.size());
  call->start([&](sluice_ticket* ticket) { return storage_.api().append(log_, ticket, request, result); });
  return {std::move(call), result};
}

AppendAnswer SentAppend::wait() {
  auto answer = answer_of<AppendAnswer>(*call_);
  answer.end = result_->end;
  answer.token = result_->token;
  call_->retire();
  return answer;
}

int64_t Log::must_append(uint64_t token, int64_t at, const Unit& unit) {
  const AppendAnswer answer = append(token, at, unit);
  expect_status(SLUICE_OK, answer, "append");
  require(answer.end == unit.back().last + 1, "append: the end behind the unit should be {}, the answer says {}",
          unit.back().last + 1, answer.end);
  return answer.end;
}

ReadAnswer Log::read(int64_t offset, int64_t limit, uint64_t max_bytes, uint32_t flags) {
  auto call = begin("read");
  auto* request = call->make<sluice_read>();
  auto* result = call->make<sluice_read_result>();
  request->flags = flags;
  request->offset = offset;
  request->limit = limit;
  request->max_bytes = max_bytes;
  call->start([&](sluice_ticket* ticket) { return storage_.api().read(log_, ticket, request, result); });
  auto answer = answer_of<ReadAnswer>(*call);
  answer.next = result->next;
  answer.start = result->start;
  answer.end = result->end;
  answer.pinned = result->pinned_bytes;
  answer.lease = Lease(result->slices, result->slice_count, result->owner, result->release);
  call->retire();
  return answer;
}

BoundsAnswer Log::bounds() {
  auto call = begin("bounds");
  auto* result = call->make<sluice_bounds>();
  call->start([&](sluice_ticket* ticket) { return storage_.api().bounds(log_, ticket, result); });
  auto answer = answer_of<BoundsAnswer>(*call);
  answer.start = result->start;
  answer.end = result->end;
  answer.token = result->token;
  answer.bytes = result->bytes;
  answer.newest_timestamp = result->newest_timestamp;
  answer.largest_unit = result->largest_unit;
  answer.capabilities = result->capabilities;
  call->retire();
  return answer;
}

LocateAnswer Log::locate(int64_t timestamp) {
  auto call = begin("locate");
  auto* result = call->make<sluice_locate_result>();
  call->start([&](sluice_ticket* ticket) { return storage_.api().locate(log_, ticket, timestamp, result); });
  auto answer = answer_of<LocateAnswer>(*call);
  answer.offset = result->offset;
  answer.end = result->end;
  call->retire();
  return answer;
}

Answer Log::trim(uint64_t token, int64_t offset) {
  auto call = begin("trim");
  call->start([&](sluice_ticket* ticket) { return storage_.api().trim(log_, ticket, token, offset); });
  auto answer = answer_of<Answer>(*call);
  call->retire();
  return answer;
}

FenceAnswer Log::fence(uint64_t token) {
  auto call = begin("fence");
  auto* result = call->make<sluice_fence_result>();
  call->start([&](sluice_ticket* ticket) { return storage_.api().fence(log_, ticket, token, result); });
  auto answer = answer_of<FenceAnswer>(*call);
  answer.end = result->end;
  answer.token = result->token;
  call->retire();
  return answer;
}

Answer Log::save(uint64_t token, const std::string& name, const std::string& value) {
  auto call = begin("save");
  auto* request = call->make<sluice_save>();
  request->token = token;
  request->name = reinterpret_cast<const char*>(call->copy(name.data(), name.size()));
  request->name_size = static_cast<uint32_t>(name.size());
  request->value = call->copy(value.data(), value.size());
  request->value_size = value.size();
  call->start([&](sluice_ticket* ticket) { return storage_.api().save(log_, ticket, request); });
  auto answer = answer_of<Answer>(*call);
  call->retire();
  return answer;
}

LoadAnswer Log::load(const std::string& name) {
  auto call = begin("load");
  auto* request = call->make<sluice_load>();
  auto* result = call->make<sluice_load_result>();
  request->name = reinterpret_cast<const char*>(call->copy(name.data(), name.size()));
  request->name_size = static_cast<uint32_t>(name.size());
  call->start([&](sluice_ticket* ticket) { return storage_.api().load(log_, ticket, request, result); });
  auto answer = answer_of<LoadAnswer>(*call);
  if (answer.ok() && result->present != 0) {
    answer.present = true;
    answer.value.assign(reinterpret_cast<const char*>(result->value), result->value_size);
  }
  if (result->release != nullptr) result->release(result->owner);
  call->retire();
  return answer;
}

}  // namespace sluice::conformance
