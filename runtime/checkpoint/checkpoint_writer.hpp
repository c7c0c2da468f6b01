// CheckpointWriter: streams a model into one HDF5 file that appears under its final name only when it is complete.
//
//   TESSERA_TRY(auto writer, CheckpointWriter::create("m.h5", header));
//   for (tensor …) for (unit …) TESSERA_CHECK(writer->write_unit(tensor, unit, bytes));   // tensors and units in file
//   order TESSERA_CHECK(writer->write_tokenizer(blob));                                          // optional
//   TESSERA_CHECK(writer->finish());                                                       // sync, rename
//
// Destroyed before finish(): the partial file is removed. Killed: a hidden partial file stays, the final name never
// appears or keeps its old content. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/manifest.hpp"

namespace tessera {

class CheckpointWriter {
 public:
  /// `header` has shape, geometry, dtype, name, source_format, rope_frequencies, chat_template; its tensors are filled
  /// here from model_tensors(). Refuses a destination whose folder does not exist or cannot be written.
  ///
  /// With a `resume_key` the writer can be interrupted: its partial file (.NAME.partial) and a journal of what is
  /// finished (.NAME.partial-journal) stay when the process is killed, and after keep_partial(); the next writer of the
  /// same path, header and key finds them (reuse_tensor), one of another key begins anew. The key must stand for
  /// everything else that the bytes depend on. Only one such writer of a path at a time; a second is refused.
  static Result<std::unique_ptr<CheckpointWriter>> create(const std::string& path, const Manifest& header,
                                                          const std::string& resume_key = {});
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// The tensors to write, in order.
  const std::vector<TensorEntry>& tensors() const;

  /// Appends the next unit: (tensor, unit) must be the successor of the last one, and bytes exactly its size.
  Result<void> write_unit(std::uint32_t tensor, std::uint32_t unit, std::span<const std::byte> bytes);
  /// Whether an interrupted writer has finished the next tensor, and its bytes are those that it wrote: then it counts
  /// as written. Reads them all.
  Result<bool> reuse_tensor();
  /// What is written stays for a later writer, when this one goes before finish(). False: there is nothing, or no key.
  bool keep_partial();
  Result<void> write_tokenizer(std::span<const std::byte> blob);
  /// Writes manifest and "complete" mark, syncs file and folder, renames. Returns the content id.
  Result<std::string> finish();

 private:
  struct State;
  explicit CheckpointWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera
