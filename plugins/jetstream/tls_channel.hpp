// SPDX-License-Identifier: Apache-2.0
// An encrypted connection of cnats', taken off its socket. cnats makes the session and shakes hands, blocking, where
// that is allowed. Afterwards it would spin or wait on the loop's thread until the socket takes what it writes, or
// gives the rest of what it reads: a server that hangs would hang the storage. So the session is given memory in place
// of the socket: what is written is encrypted into it at once, and what came from the socket is read from it.
//
// One thread at a time.
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace sluice::jetstream {

class TlsChannel {
 public:
  /// Sees the last session that this thread makes while it lives, whoever makes it: cnats does not show its own. One to
  /// a thread at a time.
  class Catch {
   public:
    Catch();
    ~Catch();
    Catch(const Catch&) = delete;
    Catch& operator=(const Catch&) = delete;
    /// nullptr: none was made, so the connection is not encrypted.
    SSL* session() const { return session_; }
    /// The alert that the other side sent on it; 0: none.
    int alert() const { return alert_; }
    /// The server asked for a certificate, the last session shook hands all the same, and no alert came: a server hears
    /// what is shown to it last of all.
    bool may_be_refused() const { return asked_ && done_ && alert_ == 0; }

   private:
    struct Hooks;
    SSL* session_ = nullptr;
    int alert_ = 0;
    bool asked_ = false;
    bool done_ = false;
  };

  /// Of a session that has shaken hands, of which it takes a share.
  explicit TlsChannel(SSL* session);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  /// Encrypts what is in `pieces`, or a good part of it: how many bytes; -1, with errno: the session failed.
  ssize_t write(std::span<const iovec> pieces);
  /// Whether something is encrypted that flush() has not sent.
  bool has_output() const;
  /// Sends it. -1, with errno: not all of it went.
  int flush(int fd);

  /// Takes what the socket has, a good part of it at once. What is read from the session ends behind it when the socket
  /// is at its end.
  void receive(int fd);
  /// Decrypts what was received, as much as `room` takes: how many bytes; 0: the end; -1, with errno: EAGAIN when more
  /// must be received first, or the session failed.
  ssize_t read(std::span<uint8_t> room);
  /// Nothing more comes, and what has come is dropped.
  void close();

 private:
  struct Memory;
  struct Method;

  SSL* const session_;
  const std::shared_ptr<Memory> memory_;
  std::string gathered_;  // small pieces, for one record
};

}  // namespace sluice::jetstream
