#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: small valid files of each format, and some that are wrong in one place.

    make_fuzz_corpus.py FOLDER          writes FOLDER/<target>/<seed>

Deterministic, so that they need not be committed; tests/fuzz/corpus holds only what fuzzing has found. All formats describe the same tiny
model (dim 32, 1 layer, FFN 40, vocabulary 20), whose weights are small fixed numbers.
"""

import os
import shutil
import sys

from fuzz_seeds.checkpoint import checkpoint_seeds
from fuzz_seeds.gguf import gguf_seeds
from fuzz_seeds.hugging_face import folder_json_seeds, hf_model_seeds, safetensors_seeds
from fuzz_seeds.llama2c import llama2c_seeds, llama2c_tokenizer_seeds
from fuzz_seeds.protocols import exchange_frame_seeds, rpc_conversation_seeds, rpc_message_seeds
from fuzz_seeds.requests import chat_template_seeds, cluster_config_seeds, gateway_request_seeds
from fuzz_seeds.tokenizers import sentencepiece_seeds, tiktoken_seeds, tokenizer_json_seeds, tokenizer_seeds

TARGETS = {"chat_template": chat_template_seeds, "checkpoint": checkpoint_seeds, "cluster_config": cluster_config_seeds,
           "exchange_frame": exchange_frame_seeds, "folder_json": folder_json_seeds, "gateway_request": gateway_request_seeds, "gguf": gguf_seeds, "hf_model": hf_model_seeds,
           "llama2c": llama2c_seeds,
           "llama2c_tokenizer": llama2c_tokenizer_seeds, "rpc_conversation": rpc_conversation_seeds, "rpc_message": rpc_message_seeds, "safetensors": safetensors_seeds, "sentencepiece": sentencepiece_seeds,
           "tiktoken": tiktoken_seeds, "tokenizer": tokenizer_seeds,
           "tokenizer_json": tokenizer_json_seeds}


def write_seeds(target, folder):
    """Replaces what is in `folder` by the seeds of one target; one without a generator lives from tests/fuzz/corpus alone."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, data in TARGETS.get(target, dict)().items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    for target in TARGETS:
        write_seeds(target, os.path.join(sys.argv[1], target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
