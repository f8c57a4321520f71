// SPDX-License-Identifier: Apache-2.0
// One connection's work: a coroutine reads frames and hands them over, responses are written from wherever they become
// ready. For sources of this folder alone. Loop thread only, but for finished().
//
// Life: reading, then draining (the peer ended, a frame was bad, the server stops: what was begun is answered, for a
// while), then closed. An error of the socket, or a deadline, closes at once. Whatever ends it, the coroutine and every
// pending operation end before the session leaves its shard.
#pragma once

#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "net/frame_parser.hpp"
#include "net/memory_budget.hpp"
#include "net/request.hpp"
#include "net/response_queue.hpp"
#include "net/shared.hpp"

namespace sluice::net {

class Session final : public Connection {
 public:
  /// Takes `fd`, which is not blocking.
  Session(Shard& shard, uint64_t id, std::shared_ptr<const ListenerOptions> listener, int fd, Endpoint peer);
  ~Session() override;

  /// Begins to read. Once.
  void run();
  /// Hands nothing more over; answers what was handed over, then closes.
  void drain();
  /// Closes at once.
  void abort();
  /// Judges deadlines.
  void sweep(int64_t now_ms);

 private:
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;
  enum class Taken { all, need_memory, need_capacity, bad };
  struct ReadSome;
  struct Park;

  // Reading.
  static Task<void> read(std::shared_ptr<Session> self);
  Taken take_in(Bytes& input);
  bool reserve();
  bool give_memory();
  Task<void> wait_for_memory();
  Task<void> wait_for_capacity();
  bool has_capacity() const;
  void dispatch(FramePtr frame);
  void drop_frame();
  void received(size_t bytes);
  void reading_failed(const boost::system::error_code& error);
  void wake_reader();

  // Writing.
  struct Gathered;
  void finished(uint64_t place, Response response);
  void flush();
  void flush_soon();
  bool gather(Gathered& out);
  bool write(Gathered& out, uint64_t& written);
  void wait_writable();
  void read_cold(int fd, uint64_t position, uint64_t length);
  void file_failed(int fd, uint64_t position, int error);

  // Ending.
  void complain(const std::string& why);
  void end_if_done();
  void end();
  std::string describe() const;

  Shard& shard_;
  const std::shared_ptr<Shared> shared_;
  Socket socket_;
  int fd_;

  // Reading.
  FrameParser parser_;
  std::array<uint8_t, 1024> inbox_;
  Buffer backlog_;  // input that had to wait for memory or capacity
  std::coroutine_handle<> parked_;
  std::shared_ptr<MemoryBudget::Wait> memory_wait_;
  bool memory_granted_ = false;
  bool overdraft_ = false;
  bool reader_done_ = false;
  bool pausing_ = false;        // the reader waits for memory or capacity
  int64_t frame_since_ms_ = 0;  // 0: between frames
  int64_t last_read_ms_ = 0;

  // Writing.
  ResponseQueue responses_;
  Buffer cold_bytes_;  // of the file segment at the head of responses_
  size_t cold_used_ = 0;
  bool corked_ = false;         // more responses are coming on this very stack
  bool write_pending_ = false;  // an operation will call flush()
  bool cold_pending_ = false;   // likewise
  int64_t last_write_ms_ = 0;
  int64_t blocked_since_ms_ = 0;  // 0: the socket takes what there is

  // Ending.
  bool draining_ = false;
  int64_t draining_since_ms_ = 0;
  bool dead_ = false;
  bool left_ = false;
};

}  // namespace sluice::net
