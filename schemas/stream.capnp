# A stream between its frontend, who keeps prompt and delivered tokens, and the conductor that computes it. Meanings are
# those of cluster/control/stream.hpp.

@0xa77a07867a045d7d;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::schema");

using Values = import "values.capnp";

struct StreamRequest {
  # Everything that the tokens depend on.
  high @0 :UInt64;  # id: 128 random bits
  low @1 :UInt64;
  deployment @2 :Text;
  prompt @3 :List(Int32);
  delivered @4 :List(Int32);  # tokens that the frontend has; the conductor goes on behind them
  tokensMax @5 :UInt32;       # of the whole stream, delivered ones included
  sampling @6 :Sampling;
  endTokens @7 :List(Int32);
  scorePrompt @8 :Bool;
  alternatives @9 :UInt32;  # to send beside each token and score
  tenant @10 :Text;  # whose it is; at most 64 bytes
  # No token depends on these two.
  priority @11 :Int32;    # lower is earlier; -1000 to 1000
  timeoutMs @12 :UInt64;  # what is left until the stream must have ended; 0: no such time
  vector @13 :Vector;  # of the prompt, instead of tokens; absent: none
  replica @14 :UInt64;  # that is to compute it; 0: whichever the node conducts

  struct Sampling {
    temperature @0 :Float32;
    topK @1 :UInt32;
    topP @2 :Float32;
    minP @3 :Float32;
    repeatPenalty @4 :Float32;
    presencePenalty @5 :Float32;
    frequencyPenalty @6 :Float32;
    logitBias @7 :List(Bias);
    seed @8 :UInt64;
    choice @9 :UInt32;  # tells several completions of one request apart
  }
  struct Bias {
    token @0 :Int32;
    bias @1 :Float32;
  }
  struct Vector {
    pooling @0 :Text;  # "mean", "cls", "last"
    normalised @1 :Bool;
  }
}

struct StreamUpdate {
  # After a step. The last update of a stream is finished, failed or moved.
  high @0 :UInt64;
  low @1 :UInt64;
  incarnation @2 :UInt64;  # of the conductor
  # Tokens are numbered from 0 in the stream's output, scores from 1 in its prompt; both come in order.
  tokens @3 :List(Token);
  scores @4 :List(Score);
  end @5 :End;
  error @6 :Values.Failure;  # with end = failed
  cachedTokens @7 :UInt32;   # of the prompt, that need not be computed at this conductor; comes with tokens
  phases @8 :Phases;         # so far, at this conductor; comes with tokens and with an end that is no failure
  vector @9 :List(Float32);  # that was asked for; comes with the end

  struct Phases {
    # Where the stream's time went. Durations, since nobody else reads this conductor's clock.
    queueSeconds @0 :Float64;    # from its submission until it was admitted
    prefillSeconds @1 :Float64;  # from then to its first token
    decodeSeconds @2 :Float64;   # from then to its last token
    steps @3 :UInt32;            # that computed something of it
  }

  struct Token {
    index @0 :UInt32;
    token @1 :Int32;
    logProbability @2 :Float32;
    alternatives @3 :List(Alternative);
  }
  struct Score {
    index @0 :UInt32;
    logProbability @1 :Float32;
    alternatives @2 :List(Alternative);
  }
  struct Alternative {
    # Of the most probable tokens in that place, the most probable first.
    token @0 :Int32;
    logProbability @1 :Float32;
  }
  enum End {
    none @0;
    endToken @1;
    length @2;
    stopped @3;
    failed @4;  # cannot go on, anywhere
    moved @5;   # this conductor ends: locate the next one and resume
  }
}
