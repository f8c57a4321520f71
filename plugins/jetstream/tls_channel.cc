// SPDX-License-Identifier: Apache-2.0
#include "jetstream/tls_channel.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace sluice::jetstream {
namespace {

constexpr size_t kReceivedAtOnceBytes = 256 << 10;
constexpr size_t kEncryptedAtOnceBytes = 256 << 10;
constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;

thread_local TlsChannel::Catch* wanted = nullptr;

}  // namespace

struct TlsChannel::Memory {
  std::string in;
  size_t in_at = 0;
  std::string out;
  size_t out_at = 0;
  bool ended = false;
};

// What the session sees in place of a socket. It shares the memory, since cnats may keep the session longer than the
// channel lives.
struct TlsChannel::Method {
  using Shared = std::shared_ptr<Memory>;
  static Memory& of(BIO* bio) { return **static_cast<Shared*>(BIO_get_data(bio)); }

  static int write(BIO* bio, const char* data, int size) {
    of(bio).out.append(data, static_cast<size_t>(size));
    return size;
  }
  // "Try again" goes by errno alone: what OpenSSL has for it is what makes cnats spin.
  static int read(BIO* bio, char* data, int size) {
    Memory& memory = of(bio);
    const size_t count = std::min(memory.in.size() - memory.in_at, static_cast<size_t>(size));
    if (count == 0) {
      errno = memory.ended ? ECONNRESET : EAGAIN;
      return memory.ended ? 0 : -1;
    }
    memory.in.copy(data, count, memory.in_at);
    memory.in_at += count;
    if (memory.in_at == memory.in.size()) {
      memory.in.clear();
      memory.in_at = 0;
    }
    return static_cast<int>(count);
  }
  static long control(BIO* bio, int what, long, void*) {
    if (what == BIO_CTRL_EOF) return of(bio).ended ? 1 : 0;
    return what == BIO_CTRL_FLUSH ? 1 : 0;
  }
  static int destroy(BIO* bio) {
    delete static_cast<Shared*>(BIO_get_data(bio));
    return 1;
  }
  static BIO* make(Shared memory) {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice");
      BIO_meth_set_write(made, &Method::write);
      BIO_meth_set_read(made, &Method::read);
      BIO_meth_set_ctrl(made, &Method::control);
      BIO_meth_set_destroy(made, &Method::destroy);
      return made;
    }();
    BIO* bio = BIO_new(method);
    BIO_set_data(bio, new Shared(std::move(memory)));
    BIO_set_init(bio, 1);
    return bio;
  }
};

struct TlsChannel::Catch::Hooks {
  // OpenSSL tells whoever keeps data with sessions of each that is made.
  static void made(void* session, void*, CRYPTO_EX_DATA*, int, long, void*) {
    if (wanted == nullptr) return;
    wanted->session_ = static_cast<SSL*>(session);
    wanted->alert_ = 0;
    wanted->asked_ = wanted->done_ = false;
    SSL_set_info_callback(wanted->session_, &Hooks::told);
  }
  static void told(const SSL* session, int what, int value) {
    constexpr int kDescription = 0xff;
    if (wanted == nullptr) return;
    if (what == SSL_CB_READ_ALERT) wanted->alert_ = value & kDescription;
    if (what == SSL_CB_HANDSHAKE_DONE) wanted->done_ = true;
    if (SSL_get_state(session) == TLS_ST_CR_CERT_REQ) wanted->asked_ = true;
  }
};

TlsChannel::Catch::Catch() {
  static const int index = SSL_get_ex_new_index(0, nullptr, &Hooks::made, nullptr, nullptr);
  static_cast<void>(index);
  wanted = this;
}

TlsChannel::Catch::~Catch() {
  wanted = nullptr;
}

TlsChannel::TlsChannel(SSL* session) : session_(session), memory_(std::make_shared<Memory>()) {
  SSL_up_ref(session_);
  BIO* bio = Method::make(memory_);
  SSL_set_bio(session_, bio, bio);
}

TlsChannel::~TlsChannel() {
  SSL_free(session_);
}

ssize_t TlsChannel::write(std::span<const iovec> pieces) {
  const auto encrypt = [this](const void* data, size_t size) {
    if (size == 0) return true;
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(session_, data, size, &written) == 1) return true;
    errno = EPROTO;
    return false;
  };
  size_t total = 0;
  for (const iovec& piece : pieces) {
    if (total >= kEncryptedAtOnceBytes) break;
    const size_t size = std::min(piece.iov_len, kEncryptedAtOnceBytes - total);
    total += size;
    if (gathered_.size() + size < kRecordBytes) {
      gathered_.append(static_cast<const char*>(piece.iov_base), size);
      continue;
    }
    if (!encrypt(gathered_.data(), gathered_.size()) || !encrypt(piece.iov_base, size)) return -1;
    gathered_.clear();
  }
  if (!encrypt(gathered_.data(), gathered_.size())) return -1;
  gathered_.clear();
  return static_cast<ssize_t>(total);
}

bool TlsChannel::has_output() const {
  return !memory_->out.empty();
}

int TlsChannel::flush(int fd) {
  Memory& memory = *memory_;
  while (memory.out_at < memory.out.size()) {
    const ssize_t sent =
        send(fd, memory.out.data() + memory.out_at, memory.out.size() - memory.out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -1;
    memory.out_at += static_cast<size_t>(sent);
  }
  memory.out.clear();
  memory.out_at = 0;
  return 0;
}

void TlsChannel::receive(int fd) {
  Memory& memory = *memory_;
  const size_t before = memory.in.size();
  memory.in.resize(before + kReceivedAtOnceBytes);
  ssize_t got = 0;
  do {
    got = recv(fd, memory.in.data() + before, kReceivedAtOnceBytes, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  memory.in.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) memory.ended = true;
}

ssize_t TlsChannel::read(std::span<uint8_t> room) {
  size_t got = 0;
  ERR_clear_error();
  errno = 0;
  if (SSL_read_ex(session_, room.data(), room.size(), &got) == 1) return static_cast<ssize_t>(got);
  if (memory_->ended || SSL_get_error(session_, 0) == SSL_ERROR_ZERO_RETURN) return 0;
  if (errno != EAGAIN) errno = EPROTO;
  return -1;
}

void TlsChannel::close() {
  memory_->in.clear();
  memory_->in_at = 0;
  memory_->ended = true;
}

}  // namespace sluice::jetstream
