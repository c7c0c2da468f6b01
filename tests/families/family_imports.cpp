// Imports a model and prints the manifest of its checkpoint, as JSON with the content id beside it; exports it too,
// where a folder for that is given.
//
//   family_imports SOURCE DTYPE [EXPORT]
#include <cstdio>
#include <string>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/export_model.hpp"
#include "runtime/importers/import_model.hpp"
#include "tests/support/paths.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

int complain(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3 && count != 4) return complain("usage: family_imports SOURCE DTYPE [EXPORT]");
  const TemporaryFolder folder;
  ImportOptions options;
  options.dtype = parse_dtype(arguments[2]);
  options.name = "m";
  const std::string path = folder.file("m.h5");
  if (const auto report = import_model(arguments[1], path, options); !report) return complain(report.error().message);
  const auto source = open_source(path);
  if (!source) return complain(source.error().message);
  const auto checkpoint = Checkpoint::open(*source);
  if (!checkpoint) return complain(checkpoint.error().message);
  if (count == 4) {
    const auto report = export_model(**checkpoint, arguments[3], {});
    if (!report) return complain(report.error().message);
  }
  std::printf("{\"content_id\": \"%s\", \"manifest\": %s}\n", (*checkpoint)->content_id().c_str(),
              to_json((*checkpoint)->manifest()).c_str());
  return 0;
}
