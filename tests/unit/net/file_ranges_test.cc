// SPDX-License-Identifier: Apache-2.0
// Responses that are parts of files, in the page cache and not.
#include <fcntl.h>

#include <cstdlib>

#include "net/cold_reads.hpp"
#include "net_fixture.hpp"

namespace sluice::net {
namespace {

/// A file of `size` bytes of a pattern, gone with its object.
class PatternFile {
 public:
  explicit PatternFile(size_t size) : text_(size, '\0') {
    for (size_t i = 0; i < size; ++i) text_[i] = static_cast<char>(i * 7 + i / 251);
    char path[] = "./file_ranges_test.XXXXXX";
    fd_ = ::mkstemp(path);
    ::unlink(path);
    for (size_t at = 0; at < size;) {
      const ssize_t n = ::pwrite(fd_, text_.data() + at, size - at, static_cast<off_t>(at));
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
  }
  PatternFile(const PatternFile&) = delete;
  ~PatternFile() { ::close(fd_); }

  int fd() const { return fd_; }
  const std::string& text() const { return text_; }
  void make_cold() const {
    ::fsync(fd_);
    ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  }

 private:
  int fd_ = -1;
  std::string text_;
};

class FileRangesTest : public ServerTest {
 protected:
  /// Each request is answered with "head", all of the file in three ranges with "mid" between them, and "tail".
  void serve_file(NetLimits limits = {}) {
    serve(limits, [this](Request) -> Task<Response> {
      Response response;
      const uint64_t size = file_.text().size();
      response.segments.append(as_bytes("head"));
      response.segments.append_file(file_.fd(), 0, size / 3);
      response.segments.append_file(file_.fd(), size / 3, 100);
      response.segments.append(as_bytes("mid"));
      response.segments.append_file(file_.fd(), size / 3 + 100, size - size / 3 - 100);
      response.segments.append(as_bytes("tail"));
      co_return response;
    });
    const size_t third = file_.text().size() / 3 + 100;
    expected_ = "head" + file_.text().substr(0, third) + "mid" + file_.text().substr(third) + "tail";
  }

  PatternFile file_{5'000'000};
  std::string expected_;
};

TEST_F(FileRangesTest, FromThePageCache) {
  serve_file();
  const Client client(port());
  ASSERT_TRUE(client.send(frame_of("1") + frame_of("2") + frame_of("3")));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.receive_frame() == expected_);
}

TEST_F(FileRangesTest, FromTheDisk) {
  serve_file();
  const Client client(port());
  for (int i = 0; i < 3; ++i) {
    file_.make_cold();
    ASSERT_TRUE(client.send(frame_of("1") + frame_of("2")));
    for (int n = 0; n < 2; ++n) EXPECT_TRUE(client.receive_frame() == expected_);
  }
}

TEST_F(FileRangesTest, ToASlowReader) {
  serve_file({.send_buffer_bytes = 32 << 10});
  const Client client(port(), 16 << 10);
  file_.make_cold();
  ASSERT_TRUE(client.send_frame("1"));
  EXPECT_TRUE(client.receive_frame() == expected_);
}

TEST_F(FileRangesTest, ToAPeerThatLeaves) {
  serve_file({.send_buffer_bytes = 32 << 10});
  for (int i = 0; i < 20; ++i) {
    Client client(port(), 16 << 10);
    file_.make_cold();
    ASSERT_TRUE(client.send(frame_of("1") + frame_of("2")));
    ASSERT_TRUE(client.receive(1000).has_value());
    client.reset();
  }
  EXPECT_TRUE(all_closed());
}

TEST_F(FileRangesTest, AFileThatEndsTooSoonClosesTheConnection) {
  serve({}, [this](Request) -> Task<Response> {
    Response response;
    response.segments.append_file(file_.fd(), file_.text().size() - 10, 20);
    co_return response;
  });
  const Client client(port());
  ASSERT_TRUE(client.send_frame("1"));
  EXPECT_TRUE(client.receive(4 + 10).has_value());
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(metrics().file_read_errors, 1u);
  EXPECT_EQ(log().size(), 1u);
}

TEST_F(FileRangesTest, ColdReadsGiveBytesOrAnErrno) {
  ColdReads reads;
  std::atomic<int> done{0};
  reads.read(file_.fd(), 10, 100, loops_.at(0), [&](ColdRead result) {
    EXPECT_EQ(as_text(result.bytes), file_.text().substr(10, 100));
    ++done;
  });
  reads.read(file_.fd(), file_.text().size() - 5, 100, loops_.at(0), [&](ColdRead result) {
    EXPECT_EQ(result.bytes.size(), 5u);
    ++done;
  });
  reads.read(-1, 0, 100, loops_.at(0), [&](ColdRead result) {
    EXPECT_EQ(result.error, EBADF);
    ++done;
  });
  EXPECT_TRUE(eventually([&] { return done == 3; }));
  reads.stop();
  reads.read(file_.fd(), 0, 1, loops_.at(0), [&](ColdRead) { ++done; });
  EXPECT_EQ(done, 3);
}

}  // namespace
}  // namespace sluice::net
