"""Every family on a small random model: imported, run in many ways that must agree to the bit, and close to float64."""
import os
import subprocess
import tempfile
import unittest

import numpy as np

import family_models
import float64_reference

PROGRAM = os.environ["TESSERA_FAMILY_LOGITS"]

# Greatest error against the root mean square of the logits (of encoders: of the hidden states); what is stored in few bits differs from the f32 weights.
LARGEST = {"f32": 3e-5}
# Root mean square of the error against that of the same.
TYPICAL = {"f32": 3e-6, "bf16": 0.05, "q8": 0.1, "q4": 0.9}
# Rounding makes a router choose other experts now and then.
TYPICAL_OF_EXPERTS = {"f32": 3e-6, "bf16": 0.2, "q8": 0.3, "q4": 1.2}


def run(folder, ids, out):
    tokens = os.path.join(folder, "tokens.txt")
    with open(tokens, "w") as file:
        file.write(" ".join(map(str, ids)))
    return subprocess.run([PROGRAM, folder, tokens, out], capture_output=True, text=True)


class Families(unittest.TestCase):
    def check(self, name):
        config, tensors = family_models.CONFIGS[name], family_models.tensors_of(name)
        ids = np.random.default_rng(7).integers(0, family_models.VOCAB, family_models.TOKENS)
        expected = float64_reference.outputs(config, tensors, ids)
        size = np.sqrt((expected**2).mean())
        with tempfile.TemporaryDirectory() as folder:
            family_models.write_folder(folder, config, tensors)
            out = os.path.join(folder, "logits")
            result = run(folder, ids, out)
            self.assertEqual(result.returncode, 0, result.stderr)
            has_experts = "num_experts_per_tok" in config
            for dtype, typical in (TYPICAL_OF_EXPERTS if has_experts else TYPICAL).items():
                got = np.fromfile(f"{out}.{dtype}", np.float32).reshape(expected.shape)
                error = got - expected
                self.assertLess(np.sqrt((error**2).mean()) / size, typical, dtype)
                if dtype in LARGEST:
                    self.assertLess(np.abs(error).max() / size, LARGEST[dtype], dtype)


def add_case(name):
    def case(self):
        self.check(name)

    case.__name__ = f"test_{name}_matches_float64_and_itself"
    setattr(Families, case.__name__, case)


for each in family_models.CONFIGS:
    add_case(each)


class Parts(unittest.TestCase):
    def test_the_text_model_of_one_that_takes_images_is_the_text_model(self):
        tensors = family_models.tensors_of("gemma3")
        inner = {"language_model." + name: value for name, value in tensors.items()}
        inner["vision_tower.vision_model.embeddings.patch_embedding.weight"] = np.zeros((2, 3, 4, 4), np.float32)
        outputs = []
        for config, values in ((family_models.CONFIGS["gemma3"], tensors), (family_models.GEMMA3_IMAGES, inner)):
            with tempfile.TemporaryDirectory() as folder:
                family_models.write_folder(folder, config, values)
                out = os.path.join(folder, "logits")
                result = run(folder, [5, 6, 7, 8], out)
                self.assertEqual(result.returncode, 0, result.stderr)
                with open(out + ".q8", "rb") as file:
                    outputs.append(file.read())
        self.assertEqual(outputs[0], outputs[1])


class Refusals(unittest.TestCase):
    """Errors name what is wrong."""

    def refusal(self, name, change_config=None, change_tensors=None):
        config, tensors = dict(family_models.CONFIGS[name]), family_models.tensors_of(name)
        if change_config:
            change_config(config)
        if change_tensors:
            change_tensors(tensors)
        with tempfile.TemporaryDirectory() as folder:
            family_models.write_folder(folder, config, tensors)
            result = run(folder, [1, 2, 3], os.path.join(folder, "logits"))
            self.assertNotEqual(result.returncode, 0)
            return result.stderr

    def test_a_missing_tensor_is_named(self):
        for name, tensor in (("qwen2", "model.layers.1.self_attn.k_proj.bias"), ("gpt2", "transformer.h.1.attn.c_attn.weight"),
                             ("qwen3_moe", "model.layers.0.mlp.experts.11.up_proj.weight"), ("gemma3", "model.layers.3.self_attn.q_norm.weight")):
            text = self.refusal(name, change_tensors=lambda tensors: tensors.pop(tensor))
            self.assertIn(f"{tensor} is missing", text)

    def test_an_extra_tensor_is_named(self):
        def add(tensors):
            tensors["model.layers.0.self_attn.q_norm.weight"] = np.ones(8, np.float32)

        self.assertIn("model.layers.0.self_attn.q_norm.weight has no place in a qwen2 model", self.refusal("qwen2", change_tensors=add))

    def test_a_misshapen_tensor_is_named(self):
        def cut(tensors):
            tensors["model.layers.1.self_attn.qkv_proj.weight"] = tensors["model.layers.1.self_attn.qkv_proj.weight"][:-1]

        self.assertIn("qkv_proj.weight has the shape [239, 72], but its config.json asks for [240, 72]", self.refusal("phi3", change_tensors=cut))

    def test_an_unknown_architecture_is_named_with_those_that_are_known(self):
        text = self.refusal("llama", lambda config: config.update(model_type="falcon"))
        self.assertIn("model_type is 'falcon'", text)
        for family in ("llama", "gemma3_text", "gpt_neox", "mixtral"):
            self.assertIn(family, text)

    def test_of_an_encoder_too_what_is_missing_or_misshapen_is_named(self):
        def cut(tensors):
            tensors["embeddings.token_type_embeddings.weight"] = np.zeros((2, 59), np.float32)

        for name, tensor in (("bert", "encoder.layer.1.output.LayerNorm.bias"), ("bert", "embeddings.token_type_embeddings.weight"),
                             ("distilbert", "transformer.layer.0.ffn.lin2.weight"), ("bert_masked", "bert.embeddings.LayerNorm.gamma")):
            text = self.refusal(name, change_tensors=lambda tensors: tensors.pop(tensor))
            self.assertIn(f"{tensor.replace('gamma', 'weight')} is missing", text)
        self.assertIn("token_type_embeddings.weight has the shape [2, 59], but its config.json asks for rows of 60", self.refusal("bert", change_tensors=cut))
        self.assertIn("position_embeddings.weight has the shape [162, 60]",
                      self.refusal("roberta", lambda config: config.update(max_position_embeddings=512)))

    def test_what_changes_the_mathematics_of_an_encoder_is_named(self):
        for change in ({"position_embedding_type": "relative_key"}, {"hidden_act": "relu"}, {"is_decoder": True}, {"add_cross_attention": True},
                       {"num_attention_heads": 7}, {"architectures": ["BertForSequenceClassification"]}):
            text = self.refusal("bert", lambda config: config.update(change))
            self.assertIn(next(iter(change)) if "num_attention_heads" not in change else "7 heads", text)
        self.assertIn("pad_token_id is 0", self.refusal("roberta", lambda config: config.update(pad_token_id=0)))

    def test_dense_layers_that_make_no_sense_are_named(self):
        for field, value in (("mlp_only_layers", [2]), ("mlp_only_layers", [-1]), ("mlp_only_layers", 1), ("decoder_sparse_step", 0)):
            self.assertIn(f"{field} is {value}", self.refusal("qwen3_moe", lambda config: config.update({field: value})))
        text = self.refusal("qwen3_moe_dense", change_tensors=lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight"))
        self.assertIn("model.layers.0.mlp.up_proj.weight is missing", text)

    def test_experts_in_a_dense_layer_have_no_place(self):
        text = self.refusal("qwen3_moe", lambda config: config.update(mlp_only_layers=[1]))
        self.assertIn("model.layers.1.mlp.gate_proj.weight is missing", text)

    def test_dynamic_rope_scaling_is_refused(self):
        scaling = {"rope_type": "dynamic", "factor": 2.0}
        self.assertIn("'dynamic'", self.refusal("llama", lambda config: config.update(rope_scaling=scaling)))


if __name__ == "__main__":
    unittest.main()
