// Pages for the browser, and the description of the protocol, from the binary itself.
#include "gateway/page_files.hpp"
#include "gateway/routes.hpp"

namespace tessera::gateway {

namespace {

/// Nothing but these files runs in the page, it asks nobody but this server, and nobody shows it in a frame.
constexpr const char* policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

}  // namespace

void add_page_routes(Router& router) {
  for (const PageFile& file : page_files()) {
    router.add("GET", file.path, [&file](HttpCall& call) {
      return call.send(200, std::string(file.content_type), std::string(file.text),
                       {{"Content-Security-Policy", policy}, {"Cache-Control", "no-cache"}});
    });
  }
}

}  // namespace tessera::gateway
