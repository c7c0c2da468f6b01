// Streams text from a deployment:  generate STATE_FOLDER DEPLOYMENT PROMPT [TOKENS]
//
// STATE_FOLDER is the cluster's, as `tessera up` made it. Built outside of the source tree:
//   g++ -std=c++20 generate.cpp $(pkg-config --cflags --libs tessera-client)
#include <cstdio>
#include <cstdlib>

#include <tessera/client.hpp>

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s STATE_FOLDER DEPLOYMENT PROMPT [TOKENS]\n", argv[0]);
    return 2;
  }
  using namespace tessera::client;
  const auto complain = [](const Error& error) {
    std::fprintf(stderr, "%s: %s\n", to_string(error.code), error.message.c_str());
    return 1;
  };

  auto options = load_options(argv[1]);
  if (!options) return complain(options.error());
  auto client = Client::connect(*options);
  if (!client) return complain(client.error());

  GenerateRequest request;
  request.deployment = argv[2];
  request.prompt = argv[3];
  request.tokens_max = argc > 4 ? static_cast<std::uint32_t>(std::strtoul(argv[4], nullptr, 10)) : 100;

  const auto summary = client->generate(request, [](const GenerateEvent& event) {
    std::fputs(event.text.c_str(), stdout);
    std::fflush(stdout);
    return true;
  });
  if (!summary) return complain(summary.error());
  std::printf("\n[%s] %u tokens, first after %.0f ms, went on at another machine %u times\n",
              to_string(summary->reason), summary->tokens, summary->first_token_seconds * 1e3, summary->resumptions);
}
