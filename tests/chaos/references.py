"""The requests that chaos is done to: a fixed set, and what the model says to each of them on one undisturbed node."""

import json

from binary import OK, tessera

VOCABULARY = 900  # below that of every model that is used
SAMPLINGS = [
    ["--temperature", "0"],
    ["--temperature", "0.8", "--top-k", "40"],
    ["--temperature", "0"],
    ["--temperature", "1.1", "--top-p", "0.9", "--repeat-penalty", "1.2"],
]


class Reference:
    """One request, and the ids and log-probabilities (as printed, so that == compares bits) that it must give."""

    def __init__(self, model, index, tokens):
        self.index = index
        prompt = ",".join(str(1 + (37 + index) * i % VOCABULARY) for i in range(10 + 9 * index))  # 10 to 289 tokens
        self.arguments = ["--prompt-ids", prompt, "-n", str(tokens), "--ignore-eos", *SAMPLINGS[index % len(SAMPLINGS)], "--seed", str(1000 + index)]
        result = tessera("run", model, *self.arguments, "--json", timeout=300)
        assert result.returncode == OK, result.stderr.decode()
        one = json.loads(result.stdout, parse_float=str)
        self.ids, self.logprobs = one["ids"], one["logprobs"]
        assert len(self.ids) == tokens, (index, len(self.ids))


def references(model, count, tokens):
    return [Reference(model, index, tokens) for index in range(count)]
