#include "cluster/exchange/hello_reader.hpp"

#include <span>

#include "cluster/exchange/hello.hpp"

namespace tessera {

HelloReader::HelloReader() : bytes_(hello_prefix_bytes) {}

Result<bool> HelloReader::advance(int fd) {
  for (;;) {
    if (got_ == bytes_.size()) {
      if (length_known_) return true;
      TESSERA_TRY(const std::size_t length,
                  hello_length(std::span<const std::byte>(bytes_).first<hello_prefix_bytes>()));
      length_known_ = true;
      bytes_.resize(hello_prefix_bytes + length);
    }
    const IoResult got = receive_some(fd, bytes_.data() + got_, bytes_.size() - got_);
    if (got.status == IoStatus::blocked) return false;
    if (got.status == IoStatus::closed)
      return Error{ErrorCode::unavailable, "the connection was closed in the middle of the hello"};
    got_ += got.bytes;
  }
}

}  // namespace tessera
