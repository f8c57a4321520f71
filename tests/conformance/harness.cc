// SPDX-License-Identifier: Apache-2.0
#include "conformance/harness.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/crc32c.hpp"

namespace sluice::conformance {
namespace {

constexpr int64_t kGraceMs = 3'000;  // behind its deadline, for a call that ends at it
constexpr size_t kGuardBytes = 64;
constexpr uint8_t kGuardByte = 0xc3;
constexpr uint8_t kPoisonByte = 0xa5;
constexpr uint64_t kTicketMagic = 0x51ce000051ce0000;

// Calls whose answer never came: their memory stays the adapter's for ever.
std::vector<std::shared_ptr<Call>>& lost_calls() {
  static auto* const calls = new std::vector<std::shared_ptr<Call>>();
  return *calls;
}

// A ticket with the way back to its call behind it, where no adapter looks.
struct OwnedTicket {
  sluice_ticket raw;
  uint64_t magic;
  Call* call;
};

}  // namespace

std::string status_text(sluice_status status) {
  struct Name {
    sluice_status status;
    const char* name;
  };
  static constexpr Name kNames[] = {
      {SLUICE_OK, "OK"},
      {SLUICE_PENDING, "PENDING"},
      {SLUICE_INVALID, "INVALID"},
      {SLUICE_NOT_FOUND, "NOT_FOUND"},
      {SLUICE_EXISTS, "EXISTS"},
      {SLUICE_OUT_OF_RANGE, "OUT_OF_RANGE"},
      {SLUICE_UNSUPPORTED, "UNSUPPORTED"},
      {SLUICE_TOO_LARGE, "TOO_LARGE"},
      {SLUICE_CONFLICT, "CONFLICT"},
      {SLUICE_FENCED, "FENCED"},
      {SLUICE_UNAVAILABLE, "UNAVAILABLE"},
      {SLUICE_BUSY, "BUSY"},
      {SLUICE_UNKNOWN, "UNKNOWN"},
      {SLUICE_INTERNAL, "INTERNAL"},
      {SLUICE_DENIED, "DENIED"},
      {SLUICE_NO_SPACE, "NO_SPACE"},
      {SLUICE_CORRUPT, "CORRUPT"},
  };
  for (const Name& known : kNames) {
    if (known.status == status) return fmt::format("{} ({})", known.name, status);
  }
  return fmt::format("status {}", status);
}

int64_t deadline_in_ms(int64_t ms) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec + ms * 1'000'000;
}

int64_t elapsed_ms(Clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since).count();
}

Guarded::Guarded(size_t size) : bytes_(new uint8_t[size + kGuardBytes]), size_(size) {
  std::memset(bytes_.get(), 0, size);
  std::memset(bytes_.get() + size, kGuardByte, kGuardBytes);
}

bool Guarded::guards_intact() const {
  return std::all_of(data() + size_, data() + size_ + kGuardBytes, [](uint8_t byte) { return byte == kGuardByte; });
}

void Guarded::poison() {
  std::memset(data(), kPoisonByte, size_ + kGuardBytes);
}

bool Guarded::poison_intact() const {
  return std::all_of(data(), data() + size_ + kGuardBytes, [](uint8_t byte) { return byte == kPoisonByte; });
}

HostTable::HostTable() {
  table_.size = sizeof table_;
  table_.major = SLUICE_ABI_MAJOR;
  table_.minor = SLUICE_ABI_MINOR;
  table_.complete = &complete;
  table_.log = &log;
  table_.crc32c = &crc32c;
}

HostTable& HostTable::instance() {
  static auto* const table = new HostTable();  // lives as long as the process, as promised to adapters
  return *table;
}

void HostTable::complete(const sluice_host*, sluice_ticket* ticket, sluice_status status) {
  HostTable& self = instance();
  Call* call = nullptr;
  {
    const std::lock_guard lock(self.mutex_);
    ++self.completed_;
    if (self.pending_.erase(ticket) == 0) {
      self.breaches_.push_back(
          "complete() was called for a ticket that is not pending: completed twice, or after a final answer");
      return;
    }
    if (status == SLUICE_PENDING) self.breaches_.push_back("complete() was called with PENDING");
    call = reinterpret_cast<OwnedTicket*>(ticket)->call;
    // The waiting side frees nothing before it saw done_, so the call is there until the lock below is left.
  }
  const std::lock_guard lock(call->mutex_);
  call->status_ = status;
  call->done_ = true;
  call->changed_.notify_all();
}

void HostTable::log(const sluice_host*, const char* name, int32_t level, const char* text) {
  if (name == nullptr || text == nullptr) {
    instance().breach("log() was called without a name or a text");
  } else if (std::strchr(text, '\n') != nullptr) {
    instance().breach(fmt::format("log() was given a newline: \"{}\"", text));
  } else if (level < SLUICE_LOG_DEBUG || level > SLUICE_LOG_ERROR) {
    instance().breach(fmt::format("log() was given the level {}", level));
  }
}

uint32_t HostTable::crc32c(uint32_t crc, const void* data, uint64_t size) {
  return crc32c_extend(crc, {static_cast<const uint8_t*>(data), static_cast<size_t>(size)});
}

std::vector<std::string> HostTable::take_breaches() {
  const std::lock_guard lock(mutex_);
  return std::exchange(breaches_, {});
}

void HostTable::breach(std::string text) {
  const std::lock_guard lock(mutex_);
  breaches_.push_back(std::move(text));
}

uint64_t HostTable::completed() const {
  const std::lock_guard lock(mutex_);
  return completed_;
}

Call::Call(std::string name, int64_t timeout_ms)
    : name_(std::move(name)),
      timeout_ms_(timeout_ms),
      deadline_ns_(deadline_in_ms(timeout_ms)),
      error_text_(kErrorTextBytes) {}

const uint8_t* Call::copy(const void* data, size_t size) {
  copies_.emplace_back(size);
  if (size > 0) std::memcpy(copies_.back().data(), data, size);
  return copies_.back().data();
}

const char* Call::copy(const std::string& text) {
  return reinterpret_cast<const char*>(copy(text.c_str(), text.size() + 1));
}

void Call::set_error_capacity(uint32_t capacity) {
  error_capacity_ = capacity;
  error_text_ = Guarded(capacity);
}

void Call::start(const std::function<sluice_status(sluice_ticket*)>& function) {
  auto* owned = make_element<OwnedTicket>(1);
  owned->magic = kTicketMagic;
  owned->call = this;
  ticket_ = &owned->raw;
  ticket_->size = sizeof(sluice_ticket);
  ticket_->deadline_ns = deadline_ns_;
  error_ = make<sluice_error>();
  error_->text_capacity = error_capacity_;
  error_->text = error_capacity_ > 0 ? reinterpret_cast<char*>(error_text_.data()) : nullptr;
  ticket_->error = error_;
  HostTable& host = HostTable::instance();
  {
    const std::lock_guard lock(host.mutex_);
    host.pending_.insert(ticket_);
  }
  returned_ = function(ticket_);
  if (returned_ == SLUICE_PENDING) return;
  {
    const std::lock_guard lock(host.mutex_);
    if (host.pending_.erase(ticket_) == 0) {
      host.breaches_.push_back(
          fmt::format("{} returned {} and completed its ticket too", name_, status_text(returned_)));
    }
  }
  const std::lock_guard lock(mutex_);
  status_ = returned_;
  done_ = true;
}

bool Call::answered() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

sluice_status Call::wait() {
  sluice_status status = SLUICE_PENDING;
  {
    std::unique_lock lock(mutex_);
    const int64_t patience_ms = timeout_ms_ + kGraceMs;
    if (!changed_.wait_for(lock, std::chrono::milliseconds(patience_ms), [&] { return done_; })) {
      fail_check("{} was not completed within {} ms: its completion is lost", name_, patience_ms);
    }
    status = status_;
  }
  for (const Guarded& memory : structs_) {
    require(memory.guards_intact(), "{} wrote behind the end of a struct of the host, beyond its `size`", name_);
  }
  for (const Guarded& memory : copies_) {
    require(memory.guards_intact(), "{} wrote behind the end of the request's bytes", name_);
  }
  require(error_text_.guards_intact(), "{} wrote more than text_capacity bytes of error text", name_);
  if (error_capacity_ > 0) {
    const auto* begin = reinterpret_cast<const char*>(error_text_.data());
    require(std::memchr(begin, '\0', error_capacity_) != nullptr, "{} left an error text that is not NUL-terminated",
            name_);
    text_ = begin;
  }
  return status;
}

void Call::retire() {
  for (Guarded& memory : copies_) memory.poison();
  copies_.clear();
  for (Guarded& memory : structs_) memory.poison();
  error_text_.poison();
  retired_ = true;
}

bool Call::untouched() const {
  if (!retired_) return true;
  return error_text_.poison_intact() &&
         std::all_of(structs_.begin(), structs_.end(), [](const Guarded& memory) { return memory.poison_intact(); });
}

std::shared_ptr<Call> CallBook::make(std::string name, int64_t timeout_ms) {
  auto call = std::make_shared<Call>(std::move(name), timeout_ms);
  const std::lock_guard lock(mutex_);
  calls_.push_back(call);
  return call;
}

std::string CallBook::verify() {
  const std::lock_guard lock(mutex_);
  for (const auto& call : calls_) {
    if (!call->untouched()) {
      return fmt::format("the ticket, request or result of {} was written to after the call was complete",
                         call->name());
    }
  }
  return {};
}

size_t CallBook::unanswered() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::count_if(calls_.begin(), calls_.end(), [](const std::shared_ptr<Call>& call) { return !call->answered(); }));
}

CallBook::~CallBook() {
  for (auto& call : calls_) {
    if (!call->answered()) lost_calls().push_back(std::move(call));
  }
}

}  // namespace sluice::conformance
