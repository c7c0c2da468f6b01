// Compares two texts by their vectors:  embed STATE_FOLDER DEPLOYMENT TEXT TEXT
//
// STATE_FOLDER is the cluster's, as `tessera up` made it. Built outside of the source tree:
//   g++ -std=c++20 embed.cpp $(pkg-config --cflags --libs tessera-client)
#include <cstddef>
#include <cstdio>

#include <tessera/client.hpp>

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s STATE_FOLDER DEPLOYMENT TEXT TEXT\n", argv[0]);
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

  EmbedRequest request;
  request.deployment = argv[2];
  request.normalised = true;
  request.text = argv[3];
  const auto first = client->embed(request);
  if (!first) return complain(first.error());
  request.text = argv[4];
  const auto second = client->embed(request);
  if (!second) return complain(second.error());

  double cosine = 0;
  for (std::size_t i = 0; i < first->vector.size(); ++i) cosine += double{first->vector[i]} * second->vector[i];
  std::printf("%zu elements, %u and %u tokens, cosine %.4f\n", first->vector.size(), first->tokens, second->tokens,
              cosine);
}
