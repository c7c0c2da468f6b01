#include "runtime/checkpoint/checkpoint_writer.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/checkpoint_skeleton.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "runtime/checkpoint/import_journal.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"
#include "runtime/checkpoint/partial_file.hpp"

namespace tessera {

namespace {

/// Bytes of a partial file that are read back at a time.
constexpr std::size_t read_back_bytes_max = std::size_t{8} << 20;

/// Whether the bytes at `offset` have the checksum.
Result<bool> has_checksum(const PartialFile& file, std::uint64_t offset, std::uint64_t bytes, std::uint32_t expected,
                          std::vector<std::byte>& buffer) {
  std::uint32_t checksum = 0;
  for (std::uint64_t done = 0; done < bytes; done += buffer.size()) {
    buffer.resize(std::min<std::uint64_t>(bytes - done, read_back_bytes_max));
    TESSERA_CHECK(file.read(offset + done, buffer));
    checksum = crc32c(buffer, checksum);
  }
  return checksum == expected;
}

}  // namespace

struct CheckpointWriter::State {
  State(Manifest manifest_header, PartialFile partial_file)
      : manifest(std::move(manifest_header)), file(std::move(partial_file)) {}
  ~State() {
    if (journal && !kept) journal->remove();
  }

  Manifest manifest;
  PartialFile file;
  std::optional<ImportJournal> journal;  // of a writer that can be interrupted
  CheckpointSkeleton skeleton;
  std::vector<std::uint64_t> offsets;  // of each tensor in the file
  std::uint32_t tensor = 0;            // the next unit to write
  std::uint32_t unit = 0;
  std::vector<std::byte> tokenizer;
  bool finished = false;
  bool kept = false;  // the partial file and its journal stay

  // What lies between datasets is zero, also where an interrupted writer or a damaged disk left something.
  Result<void> clear_gaps() const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> used;
    for (const auto& run : skeleton.image().written()) used.emplace_back(run.first, run.second);
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      used.emplace_back(offsets[i], offsets[i] + layout_bytes(manifest.tensors[i].spec.layout));
    }
    used.emplace_back(skeleton.image().size(), skeleton.image().size());
    std::sort(used.begin(), used.end());
    std::uint64_t at = 0;
    for (const auto& [begin, end] : used) {
      if (begin > at) TESSERA_CHECK(file.write(at, std::vector<std::byte>(begin - at)));
      at = std::max(at, end);
    }
    return {};
  }

  void set_unit_checksum(TensorEntry& entry, std::uint32_t number, std::uint32_t checksum, std::uint64_t bytes) const {
    entry.unit_crc32c[number] = checksum;
    entry.crc32c = Crc32cConcat(bytes)(entry.crc32c, checksum);
  }

  std::string next_unit() const {
    if (tensor == manifest.tensors.size()) return "nothing: all tensors are written";
    return manifest.tensors[tensor].spec.name + ", slice " + std::to_string(unit);
  }
};

CheckpointWriter::CheckpointWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
CheckpointWriter::~CheckpointWriter() = default;

Result<std::unique_ptr<CheckpointWriter>> CheckpointWriter::create(const std::string& path, const Manifest& header,
                                                                   const std::string& resume_key) {
  TESSERA_CHECK(validate_header(header, path));
  Manifest manifest = header;
  manifest.tensors.clear();
  manifest.tokenizer_bytes = 0;
  manifest.tokenizer_crc32c = 0;
  for (TensorSpec& spec : model_tensors(header.shape, header.geometry, header.types())) {
    const std::uint32_t units = layout_units(spec.layout);
    manifest.tensors.push_back({std::move(spec), 0, std::vector<std::uint32_t>(units)});
  }
  if (to_json(manifest).size() + 64 > limits::manifest_bytes_max) {  // 64: the tokenizer's size and checksum come later
    return Error{ErrorCode::exhausted, path + ": its manifest would have more than " +
                                           std::to_string(limits::manifest_bytes_max) +
                                           " bytes; the model has too many slices"};
  }
  TESSERA_TRY(PartialFile file, PartialFile::create(path, resume_key.empty() ? PartialFile::Life::process
                                                                             : PartialFile::Life::resumable));
  auto state = std::make_unique<State>(std::move(manifest), std::move(file));
  if (!resume_key.empty()) {
    const std::string key = content_id_of(resume_key + "\n" + to_json(state->manifest));
    TESSERA_TRY(ImportJournal journal, ImportJournal::open(state->file.path() + "-journal", key));
    state->journal.emplace(std::move(journal));
    if (state->journal->records().empty()) TESSERA_CHECK(state->file.clear());
  }
  TESSERA_TRY(state->offsets, state->skeleton.lay_out(state->manifest.tensors, path));
  TESSERA_CHECK(state->file.resize(state->skeleton.image().size()));
  if (state->journal && !state->journal->records().empty()) TESSERA_CHECK(state->clear_gaps());
  TESSERA_CHECK(state->skeleton.write_to(state->file));
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
  state.set_unit_checksum(entry, unit, crc32c(bytes), bytes.size());
  if (++state.unit == entry.unit_crc32c.size()) {
    if (state.journal) TESSERA_CHECK(state.journal->append(tensor, entry.unit_crc32c));
    ++state.tensor;
    state.unit = 0;
  }
  return {};
}

Result<bool> CheckpointWriter::reuse_tensor() {
  State& state = *state_;
  if (!state.journal || state.unit != 0 || state.tensor >= state.manifest.tensors.size()) return false;
  const auto record = state.journal->records().find(state.tensor);
  if (record == state.journal->records().end()) return false;
  TensorEntry entry = state.manifest.tensors[state.tensor];
  const std::vector<std::uint32_t>& checksums = record->second;
  if (checksums.size() != entry.unit_crc32c.size()) return false;
  std::vector<std::byte> buffer;
  for (std::uint32_t unit = 0; unit < checksums.size(); ++unit) {
    const std::uint64_t begin = layout_unit_offset(entry.spec.layout, unit);
    const std::uint64_t bytes = layout_unit_offset(entry.spec.layout, unit + 1) - begin;
    TESSERA_TRY(const bool same,
                has_checksum(state.file, state.offsets[state.tensor] + begin, bytes, checksums[unit], buffer));
    if (!same) return false;
    state.set_unit_checksum(entry, unit, checksums[unit], bytes);
  }
  state.manifest.tensors[state.tensor++] = std::move(entry);
  return true;
}

bool CheckpointWriter::keep_partial() {
  if (!state_->journal || state_->tensor == 0) return false;
  state_->file.keep();
  state_->kept = true;
  return true;
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
  TESSERA_CHECK(state.skeleton.write_to(state.file));
  TESSERA_CHECK(state.file.publish());
  if (state.journal) state.journal->remove();
  return content_id;
}

}  // namespace tessera
