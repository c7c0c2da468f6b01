#include "runtime/checkpoint/checkpoint_writer.hpp"

#include <cstdio>
#include <errno.h>
#include <fcntl.h>
#include <optional>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/checkpoint_skeleton.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"

namespace tessera {

namespace {

Error system_error(const std::string& path, const std::string& operation, int reason) {
  std::string remedy;
  if (reason == ENOSPC || reason == EDQUOT) remedy = "; free some space there or choose another folder";
  if (reason == EFBIG) remedy = "; the limit on file sizes is too small";
  if (reason == EACCES || reason == EPERM || reason == EROFS) remedy = "; choose a folder that you may write to";
  return {ErrorCode::io, path + ": " + operation + ": " + ::strerror(reason) + remedy};
}

// The file under its temporary name: locked, and removed at the end unless it was renamed.
class PartialFile {
 public:
  static Result<PartialFile> create(const std::string& destination);
  PartialFile(PartialFile&& other) noexcept
      : destination_(std::move(other.destination_)),
        folder_(std::move(other.folder_)),
        path_(std::exchange(other.path_, {})),
        file_(std::exchange(other.file_, -1)) {}
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
    if (file_ >= 0) ::close(file_);
  }

  const std::string& destination() const { return destination_; }
  /// Makes it `bytes` long.
  Result<void> resize(std::uint64_t bytes) const;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  Result<void> publish();

 private:
  PartialFile(std::string destination, std::string folder, std::string path, int file)
      : destination_(std::move(destination)), folder_(std::move(folder)), path_(std::move(path)), file_(file) {}

  std::string destination_;
  std::string folder_;
  std::string path_;  // empty once renamed
  int file_;
};

Result<PartialFile> PartialFile::create(const std::string& destination) {
  const std::size_t slash = destination.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : destination.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? destination : destination.substr(slash + 1);
  struct stat status {};
  if (name.empty() || name == "." || name == ".." || destination.find('\0') != std::string::npos ||
      (::stat(destination.c_str(), &status) == 0 && !S_ISREG(status.st_mode))) {
    return Error{
        ErrorCode::invalid_argument,
        destination + ": cannot be the name of a checkpoint; give the name of a file that is new or may be replaced"};
  }
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::not_found, destination + ": its folder " + folder + " does not exist; create it first"};
  }
  const std::string path =
      (slash == std::string::npos ? "" : folder) + "." + name + ".partial-" + std::to_string(::getpid());
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) return system_error(destination, "cannot be written", errno);
  // A process number is unique on one machine at one time, the folder may be shared and old: the lock tells a live
  // writer from a leftover. A writer keeps it until after its rename, so whoever holds it and finds its own file under
  // the name owns the name.
  struct stat named {};
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR);
  if (!locked || ::fstat(descriptor, &status) != 0 || ::lstat(path.c_str(), &named) != 0 ||
      status.st_ino != named.st_ino || status.st_dev != named.st_dev) {
    ::close(descriptor);
    return Error{ErrorCode::io, destination + ": another writer is at work on it; wait for it, or choose another name"};
  }
  PartialFile file(destination, folder, path, descriptor);
  if (::ftruncate(descriptor, 0) != 0) return system_error(destination, "cannot be emptied", errno);
  return file;
}

// Takes the disk space of the whole file now, where the file system can: a full disk shows before an hour's work, not
// after it.
Result<void> PartialFile::resize(std::uint64_t bytes) const {
  const auto size = static_cast<off_t>(bytes);
  int result = 0;
  do {
    result = ::ftruncate(file_, size) != 0 ? -1 : ::fallocate(file_, 0, 0, size);
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return {};
  return system_error(destination_, "needs " + std::to_string(bytes) + " bytes", errno);
}

Result<void> PartialFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error(destination_, "cannot be written", count == 0 ? EIO : errno);
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

// After this the name shows the new file, also after a power failure.
Result<void> PartialFile::publish() {
  if (::fsync(file_) != 0) return system_error(destination_, "cannot be synced", errno);
  if (::rename(path_.c_str(), destination_.c_str()) != 0)
    return system_error(destination_, "cannot be renamed into place", errno);
  path_.clear();
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return system_error(destination_, "its folder cannot be synced", errno);
  // EINVAL: a file system without it (some network ones), where the rename is as durable as it gets.
  const bool synced = ::fsync(folder) == 0 || errno == EINVAL;
  const int reason = errno;
  ::close(folder);
  if (!synced) return system_error(destination_, "its folder cannot be synced", reason);
  return {};
}

}  // namespace

struct CheckpointWriter::State {
  State(Manifest manifest_header, PartialFile partial_file)
      : manifest(std::move(manifest_header)), file(std::move(partial_file)) {}

  Manifest manifest;
  PartialFile file;
  CheckpointSkeleton skeleton;
  std::vector<std::uint64_t> offsets;  // of each tensor in the file
  std::uint32_t tensor = 0;            // the next unit to write
  std::uint32_t unit = 0;
  std::vector<std::byte> tokenizer;
  bool finished = false;

  // From the end to the start, so that the superblock and the root with its marks come last.
  Result<void> write_skeleton() const {
    const Hdf5Image& image = skeleton.image();
    std::vector<std::byte> bytes;
    for (auto run = image.written().rbegin(); run != image.written().rend(); ++run) {
      bytes.resize(run->second - run->first);
      image.read(run->first, bytes.size(), bytes.data());
      TESSERA_CHECK(file.write(run->first, bytes));
    }
    return {};
  }

  std::string next_unit() const {
    if (tensor == manifest.tensors.size()) return "nothing: all tensors are written";
    return manifest.tensors[tensor].spec.name + ", slice " + std::to_string(unit);
  }
};

CheckpointWriter::CheckpointWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
CheckpointWriter::~CheckpointWriter() = default;

Result<std::unique_ptr<CheckpointWriter>> CheckpointWriter::create(const std::string& path, const Manifest& header) {
  TESSERA_CHECK(validate_header(header, path));
  Manifest manifest = header;
  manifest.tensors.clear();
  manifest.tokenizer_bytes = 0;
  manifest.tokenizer_crc32c = 0;
  for (TensorSpec& spec : model_tensors(header.shape, header.geometry, header.dtype)) {
    const std::uint32_t units = layout_units(spec.layout);
    manifest.tensors.push_back({std::move(spec), 0, std::vector<std::uint32_t>(units)});
  }
  if (to_json(manifest).size() + 64 > limits::manifest_bytes_max) {  // 64: the tokenizer's size and checksum come later
    return Error{ErrorCode::exhausted, path + ": its manifest would have more than " +
                                           std::to_string(limits::manifest_bytes_max) +
                                           " bytes; the model has too many slices"};
  }
  TESSERA_TRY(PartialFile file, PartialFile::create(path));
  auto state = std::make_unique<State>(std::move(manifest), std::move(file));
  TESSERA_TRY(state->offsets, state->skeleton.lay_out(state->manifest.tensors, path));
  TESSERA_CHECK(state->file.resize(state->skeleton.image().size()));
  TESSERA_CHECK(state->write_skeleton());
  return std::unique_ptr<CheckpointWriter>(new CheckpointWriter(std::move(state)));
}

const std::vector<TensorEntry>& CheckpointWriter::tensors() const { return state_->manifest.tensors; }

Result<void> CheckpointWriter::write_unit(std::uint32_t tensor, std::uint32_t unit, std::span<const std::byte> bytes) {
  State& state = *state_;
  const std::string& path = state.file.destination();
  if (state.finished || tensor != state.tensor || unit != state.unit || tensor >= state.manifest.tensors.size()) {
    return Error{ErrorCode::invalid_argument, path + ": tensor number " + std::to_string(tensor) + ", slice " +
                                                  std::to_string(unit) + " was given out of order; expected " +
                                                  state.next_unit()};
  }
  TensorEntry& entry = state.manifest.tensors[tensor];
  const std::size_t begin = layout_unit_offset(entry.spec.layout, unit);
  const std::size_t expected = layout_unit_offset(entry.spec.layout, unit + 1) - begin;
  if (bytes.size() != expected) {
    return Error{ErrorCode::invalid_argument, path + ": dataset " + entry.spec.name + ", slice " +
                                                  std::to_string(unit) + " has " + std::to_string(expected) +
                                                  " bytes, but " + std::to_string(bytes.size()) + " were given"};
  }
  TESSERA_CHECK(state.file.write(state.offsets[tensor] + begin, bytes));
  entry.unit_crc32c[unit] = crc32c(bytes);
  entry.crc32c = Crc32cConcat(bytes.size())(entry.crc32c, entry.unit_crc32c[unit]);
  if (++state.unit == entry.unit_crc32c.size()) {
    ++state.tensor;
    state.unit = 0;
  }
  return {};
}

Result<void> CheckpointWriter::write_tokenizer(std::span<const std::byte> blob) {
  State& state = *state_;
  if (state.finished || !state.tokenizer.empty()) {
    return Error{ErrorCode::invalid_argument, state.file.destination() + ": the tokenizer was written already"};
  }
  if (blob.empty() || blob.size() > limits::tokenizer_bytes_max) {
    return Error{ErrorCode::invalid_argument, state.file.destination() + ": the tokenizer has " +
                                                  std::to_string(blob.size()) + " bytes; allowed are 1 to " +
                                                  std::to_string(limits::tokenizer_bytes_max)};
  }
  state.tokenizer.assign(blob.begin(), blob.end());
  state.manifest.tokenizer_bytes = blob.size();
  state.manifest.tokenizer_crc32c = crc32c(blob);
  return {};
}

Result<std::string> CheckpointWriter::finish() {
  State& state = *state_;
  const std::string& path = state.file.destination();
  if (state.finished) return Error{ErrorCode::invalid_argument, path + ": was finished already"};
  if (state.tensor != state.manifest.tensors.size()) {
    return Error{ErrorCode::invalid_argument, path + ": cannot be finished; still missing: " + state.next_unit()};
  }
  state.finished = true;
  const std::string manifest_json = to_json(state.manifest);
  std::string content_id = content_id_of(manifest_json);
  TESSERA_TRY(const CheckpointSkeleton::LastDatasets places,
              state.skeleton.complete(state.tokenizer.size(), manifest_json.size(), content_id, path));
  TESSERA_CHECK(state.file.resize(state.skeleton.image().size()));
  if (places.tokenizer) TESSERA_CHECK(state.file.write(*places.tokenizer, state.tokenizer));
  TESSERA_CHECK(state.file.write(places.manifest, std::as_bytes(std::span(manifest_json))));
  TESSERA_CHECK(state.write_skeleton());
  TESSERA_CHECK(state.file.publish());
  return content_id;
}

}  // namespace tessera
