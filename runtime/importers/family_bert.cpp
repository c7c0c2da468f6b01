// BERT and its relatives RoBERTa, XLM-RoBERTa and DistilBERT: encoders, whose tokens see their whole text. LayerNorm
// stands after each sum and after the embedding; biases everywhere; learned positions. What predicts masked tokens
// (BertForMaskedLM) and BERT's pooler stay behind: vectors are made of the hidden states.
//
// A text alone has token type 0 throughout, so that this type's vector is added to the positions.
//
// An exported model has one token type, whose vector adds nothing: it is inside the positions already.
#include "runtime/base/decimal.hpp"
#include "runtime/importers/config_writer.hpp"
#include "runtime/importers/hf_family.hpp"

namespace tessera {

namespace {

/// The first position that RoBERTa uses: the one after that of its padding token.
constexpr std::uint32_t roberta_padding = 1, roberta_start = roberta_padding + 1;

HfPart bert_positions(const ModelShape& shape, const NamedMatrix& matrix) {
  HfPart part = hf_plain(shape, matrix);
  part.added_row = "{P}embeddings.token_type_embeddings.weight";
  return part;
}

HfPart roberta_positions(const ModelShape& shape, const NamedMatrix& matrix) {
  HfPart part = bert_positions(shape, matrix);
  part.shape.front() += roberta_start;
  part.first = part.unread_rows = roberta_start;
  return part;
}

constexpr HfRule bert_rules[] = {
    {"embedding", "{P}embeddings.word_embeddings.weight"},
    {"positions", "{P}embeddings.position_embeddings.weight", bert_positions},
    {"embedding_norm", "{P}embeddings.LayerNorm.weight"},
    {"embedding_norm_bias", "{P}embeddings.LayerNorm.bias"},
    {"attn_q", "{P}encoder.layer.{L}.attention.self.query.weight"},
    {"attn_q_bias", "{P}encoder.layer.{L}.attention.self.query.bias"},
    {"attn_k", "{P}encoder.layer.{L}.attention.self.key.weight"},
    {"attn_k_bias", "{P}encoder.layer.{L}.attention.self.key.bias"},
    {"attn_v", "{P}encoder.layer.{L}.attention.self.value.weight"},
    {"attn_v_bias", "{P}encoder.layer.{L}.attention.self.value.bias"},
    {"attn_out", "{P}encoder.layer.{L}.attention.output.dense.weight"},
    {"attn_out_bias", "{P}encoder.layer.{L}.attention.output.dense.bias"},
    {"attn_norm", "{P}encoder.layer.{L}.attention.output.LayerNorm.weight"},
    {"attn_norm_bias", "{P}encoder.layer.{L}.attention.output.LayerNorm.bias"},
    {"ffn_up", "{P}encoder.layer.{L}.intermediate.dense.weight"},
    {"ffn_up_bias", "{P}encoder.layer.{L}.intermediate.dense.bias"},
    {"ffn_down", "{P}encoder.layer.{L}.output.dense.weight"},
    {"ffn_down_bias", "{P}encoder.layer.{L}.output.dense.bias"},
    {"ffn_norm", "{P}encoder.layer.{L}.output.LayerNorm.weight"},
    {"ffn_norm_bias", "{P}encoder.layer.{L}.output.LayerNorm.bias"},
};

constexpr HfRule roberta_rules[] = {
    {"positions", "{P}embeddings.position_embeddings.weight", roberta_positions},
};

constexpr HfRule distilbert_rules[] = {
    {"embedding", "{P}embeddings.word_embeddings.weight"},
    {"positions", "{P}embeddings.position_embeddings.weight"},
    {"embedding_norm", "{P}embeddings.LayerNorm.weight"},
    {"embedding_norm_bias", "{P}embeddings.LayerNorm.bias"},
    {"attn_q", "{P}transformer.layer.{L}.attention.q_lin.weight"},
    {"attn_q_bias", "{P}transformer.layer.{L}.attention.q_lin.bias"},
    {"attn_k", "{P}transformer.layer.{L}.attention.k_lin.weight"},
    {"attn_k_bias", "{P}transformer.layer.{L}.attention.k_lin.bias"},
    {"attn_v", "{P}transformer.layer.{L}.attention.v_lin.weight"},
    {"attn_v_bias", "{P}transformer.layer.{L}.attention.v_lin.bias"},
    {"attn_out", "{P}transformer.layer.{L}.attention.out_lin.weight"},
    {"attn_out_bias", "{P}transformer.layer.{L}.attention.out_lin.bias"},
    {"attn_norm", "{P}transformer.layer.{L}.sa_layer_norm.weight"},
    {"attn_norm_bias", "{P}transformer.layer.{L}.sa_layer_norm.bias"},
    {"ffn_up", "{P}transformer.layer.{L}.ffn.lin1.weight"},
    {"ffn_up_bias", "{P}transformer.layer.{L}.ffn.lin1.bias"},
    {"ffn_down", "{P}transformer.layer.{L}.ffn.lin2.weight"},
    {"ffn_down_bias", "{P}transformer.layer.{L}.ffn.lin2.bias"},
    {"ffn_norm", "{P}transformer.layer.{L}.output_layer_norm.weight"},
    {"ffn_norm_bias", "{P}transformer.layer.{L}.output_layer_norm.bias"},
};

BlockPlan encoder_plan() {
  BlockPlan plan;
  plan.norm = NormKind::layer;
  plan.positions = PositionKind::learned;
  plan.gated_ffn = plan.head = false;
  plan.attn_in_bias = plan.attn_out_bias = plan.ffn_bias = true;
  plan.sum_norms = plan.embedding_norm = plan.bidirectional = true;
  return plan;
}

/// Names that configurations give the same thing.
struct EncoderFields {
  const char *dim, *layers, *heads, *ffn_dim, *activation;
};
constexpr EncoderFields bert_fields{"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                                    "hidden_act"};
constexpr EncoderFields distilbert_fields{"dim", "n_layers", "n_heads", "hidden_dim", "activation"};

Result<HfModel> read_encoder(const ConfigReader& config, const EncoderFields& fields) {
  HfModel model;
  ModelShape& shape = model.shape;
  shape.plan = encoder_plan();
  TESSERA_TRY(shape.dim, config.required_count(fields.dim));
  TESSERA_TRY(shape.layers, config.required_count(fields.layers));
  TESSERA_TRY(shape.heads, config.required_count(fields.heads));
  TESSERA_TRY(shape.ffn_dim, config.required_count(fields.ffn_dim));
  TESSERA_TRY(shape.vocab_size, config.required_count("vocab_size"));
  TESSERA_TRY(shape.context_length, config.required_count("max_position_embeddings"));
  TESSERA_CHECK(share_width(config, shape));
  TESSERA_TRY(const double norm_eps, config.number_or("layer_norm_eps", 1e-12));
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.plan.activation, read_activation(config, fields.activation, "gelu"));
  TESSERA_TRY(const std::string positions, config.text_or("position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return config.unsupported("position_embedding_type", ConfigReader::quoted(positions), "absolute");
  }
  TESSERA_CHECK(config.require_off("is_decoder"));
  TESSERA_CHECK(config.require_off("add_cross_attention"));
  return model;
}

Result<HfModel> read_bert(const ConfigReader& config) { return read_encoder(config, bert_fields); }

Result<HfModel> read_distilbert(const ConfigReader& config) { return read_encoder(config, distilbert_fields); }

Result<HfModel> read_roberta(const ConfigReader& config) {
  TESSERA_TRY(HfModel model, read_encoder(config, bert_fields));
  TESSERA_TRY(const std::uint32_t padding, config.count_or("pad_token_id", roberta_padding));
  if (padding != roberta_padding) {
    return config.unsupported("pad_token_id", std::to_string(padding), std::to_string(roberta_padding));
  }
  std::uint32_t& positions = model.shape.context_length;
  if (positions <= roberta_start) {
    return config.wrong("max_position_embeddings", *config.find("max_position_embeddings"),
                        "more than the " + std::to_string(roberta_start) + " before the first token");
  }
  positions -= roberta_start;
  return model;
}

void write_encoder(const ModelShape& shape, const EncoderFields& fields, nlohmann::json& config) {
  config[fields.dim] = shape.dim;
  config[fields.layers] = shape.layers;
  config[fields.heads] = shape.heads;
  config[fields.ffn_dim] = shape.ffn_dim;
  config[fields.activation] = gelu_name(shape.plan.activation, "gelu_new");
  config["vocab_size"] = shape.vocab_size;
  config["max_position_embeddings"] = shape.context_length;
}

void write_bert(const HfModel& model, nlohmann::json& config) {
  write_encoder(model.shape, bert_fields, config);
  config["layer_norm_eps"] = decimal_of(model.shape.norm_eps);
  config["position_embedding_type"] = "absolute";
  config["type_vocab_size"] = 1;
}

void write_roberta(const HfModel& model, nlohmann::json& config) {
  write_bert(model, config);
  config["max_position_embeddings"] = model.shape.context_length + roberta_start;
  config["pad_token_id"] = roberta_padding;
}

/// Its norm_eps stands in no field: another one than that of every DistilBERT is what only BERT can say.
void write_distilbert(const HfModel& model, nlohmann::json& config) {
  write_encoder(model.shape, distilbert_fields, config);
}

HfFamily roberta_like(std::string_view model_type, std::string_view architecture, std::string_view masked) {
  HfFamily family{model_type, architecture, read_roberta, write_roberta, {bert_rules, roberta_rules}};
  family.other_architectures = {masked};
  family.prefixes = {"", "roberta."};
  family.ignored = {"embeddings.position_ids", "embeddings.token_type_ids"};
  family.other_parts = {"lm_head.", "pooler.", "roberta.pooler."};
  return family;
}

}  // namespace

HfFamily bert_family() {
  HfFamily family{"bert", "BertModel", read_bert, write_bert, {bert_rules}};
  family.other_architectures = {"BertForMaskedLM", "BertForPreTraining"};
  family.prefixes = {"", "bert."};
  family.ignored = {"embeddings.position_ids", "embeddings.token_type_ids"};
  family.other_parts = {"cls.", "pooler.", "bert.pooler."};
  family.older_ends = {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}};
  return family;
}
HfFamily roberta_family() { return roberta_like("roberta", "RobertaModel", "RobertaForMaskedLM"); }
HfFamily xlm_roberta_family() { return roberta_like("xlm-roberta", "XLMRobertaModel", "XLMRobertaForMaskedLM"); }
HfFamily distilbert_family() {
  HfFamily family{"distilbert", "DistilBertModel", read_distilbert, write_distilbert, {distilbert_rules}};
  family.other_architectures = {"DistilBertForMaskedLM"};
  family.prefixes = {"", "distilbert."};
  family.other_parts = {"vocab_transform.", "vocab_layer_norm.", "vocab_projector."};
  return family;
}

}  // namespace tessera
