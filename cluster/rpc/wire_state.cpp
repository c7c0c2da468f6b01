#include <algorithm>
#include <optional>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/wire.hpp"
#include "runtime/tensor/usual_pooling.hpp"

namespace tessera::wire {
namespace {

/// The schemas' enumerations have the order of the plain ones.
template <typename Plain, typename Wire>
Plain enumerator(Wire value, Plain last, const char* what) {
  if (static_cast<unsigned>(value) > static_cast<unsigned>(last)) {
    malformed(std::string(what) + " number " + std::to_string(static_cast<unsigned>(value)) + " is not known here");
  }
  return static_cast<Plain>(value);
}

void write_plan(schema::BlockPlan::Builder out, const BlockPlan& value) {
  out.setNorm(to_string(value.norm));
  out.setActivation(to_string(value.activation));
  out.setPositions(to_string(value.positions));
  out.setGatedFfn(value.gated_ffn);
  out.setAttnInBias(value.attn_in_bias);
  out.setAttnOutBias(value.attn_out_bias);
  out.setFfnBias(value.ffn_bias);
  out.setQkNorm(value.qk_norm);
  out.setPostNorms(value.post_norms);
  out.setParallelResidual(value.parallel_residual);
  out.setRopeDims(value.rope_dims);
  out.setRopeMagnitude(value.rope_magnitude);
  out.setLocalRope(value.local_rope);
  out.setWindow(value.window);
  out.setWindowedLayers(text(value.windowed_layers));
  out.setRotatedLayers(text(value.rotated_layers));
  out.setAttentionScalar(value.attention_scalar);
  out.setAttentionSoftCap(value.attention_soft_cap);
  out.setLogitsSoftCap(value.logits_soft_cap);
  out.setEmbeddingScale(value.embedding_scale);
  out.setExperts(value.experts);
  out.setExpertsUsed(value.experts_used);
  out.setExpertsNormalised(value.experts_normalised);
  out.setSumNorms(value.sum_norms);
  out.setEmbeddingNorm(value.embedding_norm);
  out.setBidirectional(value.bidirectional);
  out.setHead(value.head);
  out.setDenseLayers(text(value.dense_layers));
  out.setDenseFfnDim(value.dense_ffn_dim);
}

template <typename Kind>
Kind known_kind(const std::optional<Kind>& parsed, const char* what) {
  if (!parsed) malformed(std::string("a model's plan has a kind of ") + what + " that is not known here");
  return *parsed;
}

BlockPlan read_plan(schema::BlockPlan::Reader in) {
  BlockPlan plan;
  plan.norm = known_kind(parse_norm_kind(read(in.getNorm())), "norm");
  plan.activation = known_kind(parse_activation(read(in.getActivation())), "activation");
  plan.positions = known_kind(parse_position_kind(read(in.getPositions())), "positions");
  plan.gated_ffn = in.getGatedFfn();
  plan.attn_in_bias = in.getAttnInBias();
  plan.attn_out_bias = in.getAttnOutBias();
  plan.ffn_bias = in.getFfnBias();
  plan.qk_norm = in.getQkNorm();
  plan.post_norms = in.getPostNorms();
  plan.parallel_residual = in.getParallelResidual();
  plan.rope_dims = in.getRopeDims();
  plan.rope_magnitude = in.getRopeMagnitude();
  plan.local_rope = in.getLocalRope();
  plan.window = in.getWindow();
  plan.windowed_layers = read(in.getWindowedLayers());
  plan.rotated_layers = read(in.getRotatedLayers());
  plan.attention_scalar = in.getAttentionScalar();
  plan.attention_soft_cap = in.getAttentionSoftCap();
  plan.logits_soft_cap = in.getLogitsSoftCap();
  plan.embedding_scale = in.getEmbeddingScale();
  plan.experts = in.getExperts();
  plan.experts_used = in.getExpertsUsed();
  plan.experts_normalised = in.getExpertsNormalised();
  plan.sum_norms = in.getSumNorms();
  plan.embedding_norm = in.getEmbeddingNorm();
  plan.bidirectional = in.getBidirectional();
  plan.head = in.getHead();
  plan.dense_layers = read(in.getDenseLayers());
  plan.dense_ffn_dim = in.getDenseFfnDim();
  return plan;
}

void write_shape(schema::ModelShape::Builder out, const ModelShape& value) {
  out.setFamily(text(value.family));
  out.setDim(value.dim);
  out.setLayers(value.layers);
  out.setHeads(value.heads);
  out.setKvHeads(value.kv_heads);
  out.setHeadDim(value.head_dim);
  out.setFfnDim(value.ffn_dim);
  out.setVocabSize(value.vocab_size);
  out.setContextLength(value.context_length);
  out.setNormEps(value.norm_eps);
  out.setRopeTheta(value.rope_theta);
  out.setTiedHead(value.tied_head);
  if (value.plan != BlockPlan{}) write_plan(out.initPlan(), value.plan);
}

ModelShape read_shape(schema::ModelShape::Reader in) {
  ModelShape shape;
  shape.family = read(in.getFamily());
  shape.dim = in.getDim();
  shape.layers = in.getLayers();
  shape.heads = in.getHeads();
  shape.kv_heads = in.getKvHeads();
  shape.head_dim = in.getHeadDim();
  shape.ffn_dim = in.getFfnDim();
  shape.vocab_size = in.getVocabSize();
  shape.context_length = in.getContextLength();
  shape.norm_eps = in.getNormEps();
  shape.rope_theta = in.getRopeTheta();
  shape.tied_head = in.getTiedHead();
  shape.plan = read_plan(in.getPlan());
  return shape;
}

void write_geometry(schema::SliceGeometry::Builder out, const SliceGeometry& value) {
  out.setAttentionHeads(value.attention_heads);
  out.setAttentionSlices(value.attention_slices);
  out.setFfnColumns(value.ffn_columns);
  out.setFfnSlices(value.ffn_slices);
  out.setVocabRows(value.vocab_rows);
  out.setVocabSlices(value.vocab_slices);
}

SliceGeometry read_geometry(schema::SliceGeometry::Reader in) {
  return {in.getAttentionHeads(), in.getAttentionSlices(), in.getFfnColumns(),
          in.getFfnSlices(),      in.getVocabRows(),       in.getVocabSlices()};
}

/// `known`: the deployment has facts.
WeightTypes read_types(schema::ModelFacts::Reader in, bool known) {
  const std::string layers = read(in.getDtype()), head = in.hasHeadDtype() ? read(in.getHeadDtype()) : layers;
  const std::optional<DType> of_layers = parse_dtype(layers), of_head = parse_dtype(head);
  if (!known) return DType::f32;
  if (!of_layers || !of_head || !WeightTypes(*of_layers, *of_head).supported()) {
    malformed("the weights' types '" + layers + "' and '" + head + "' are not known here");
  }
  return {*of_layers, *of_head};
}

}  // namespace

void write(schema::ModelFacts::Builder out, const ModelFacts& value) {
  write_shape(out.initShape(), value.shape);
  write_geometry(out.initGeometry(), value.geometry);
  out.setDtype(to_string(value.types.layers));
  if (value.types.head != value.types.layers) out.setHeadDtype(to_string(value.types.head));
  out.setName(text(value.name));
  out.setUri(text(value.uri));
  out.setContentId(text(value.content_id));
  out.setPooling(to_string(value.pooling.pooling));
  out.setNormalised(value.pooling.normalised);
  out.setVectorTokensMax(value.pooling.tokens_max);
}

ModelFacts read(schema::ModelFacts::Reader in) {
  ModelFacts facts;
  facts.shape = read_shape(in.getShape());
  facts.geometry = read_geometry(in.getGeometry());
  const bool known = in.hasShape() && facts.shape.dim != 0;  // a deployment whose file could not be read has no facts
  if (const auto valid = validate(facts.shape, "a model's description"); known && !valid) {
    malformed(valid.error().message);
  }
  if (known && facts.geometry != SliceGeometry::of(facts.shape)) malformed("a model's slices do not fit its shape");
  facts.types = read_types(in, known);
  facts.name = read(in.getName());
  facts.uri = read(in.getUri());
  facts.content_id = read(in.getContentId());
  const std::optional<Pooling> pooling = parse_pooling(read(in.getPooling()));
  if (in.hasPooling() && !pooling) malformed("a model's vectors are pooled in a way that is not known here");
  // What an older build has stored says nothing of vectors.
  const PoolingPlan usual = usual_pooling(facts.shape);
  facts.pooling = {pooling.value_or(usual.pooling), in.getNormalised(), in.getVectorTokensMax()};
  if (facts.pooling.tokens_max == 0) facts.pooling.tokens_max = usual.tokens_max;
  return facts;
}

void write(schema::DeploySpec::Builder out, const DeploySpec& value) {
  out.setName(text(value.name));
  out.setUri(text(value.uri));
  out.setWorkers(value.workers);
  out.setStages(value.stages);
  out.setKvPositions(value.kv_positions);
  out.setIdempotencyKey(text(value.idempotency_key));
  out.setSpeculation(static_cast<schema::Speculation>(value.speculation));
  out.setReplicas(value.replicas);
}

DeploySpec read(schema::DeploySpec::Reader in) {
  DeploySpec spec;
  spec.name = read(in.getName());
  spec.uri = read(in.getUri());
  spec.workers = in.getWorkers();
  spec.stages = in.getStages();
  spec.kv_positions = in.getKvPositions();
  spec.idempotency_key = read(in.getIdempotencyKey());
  spec.speculation = enumerator(in.getSpeculation(), Speculation::off, "the speculation of a deployment");
  spec.replicas = std::max(in.getReplicas(), 1u);
  return spec;
}

void write(schema::JobSpec::Builder out, const JobSpec& value) {
  out.setKind(static_cast<schema::JobKind>(value.kind));
  out.setDeployment(text(value.deployment));
  out.setUri(text(value.uri));
  out.setInput(bytes(value.input));
  out.setIdempotencyKey(text(value.idempotency_key));
  out.setClient(text(value.client));
}

JobSpec read(schema::JobSpec::Reader in) {
  JobSpec spec;
  spec.kind = enumerator(in.getKind(), JobKind::verify, "the job kind");
  spec.deployment = read(in.getDeployment());
  spec.uri = read(in.getUri());
  spec.input = read(in.getInput());
  spec.idempotency_key = read(in.getIdempotencyKey());
  spec.client = read(in.getClient());
  return spec;
}

void write(schema::JobRecord::Builder out, const JobRecord& value) {
  out.setJob(value.job.value);
  write(out.initSpec(), value.spec);
  out.setState(static_cast<schema::JobState>(value.state));
  out.setAttempt(value.attempt);
  out.setNode(value.node.value);
  out.setProcess(value.process.value);
  out.setResult(bytes(value.result));
  if (value.error) write(out.initError(), *value.error);
  auto log = out.initLog(length(value.log.size()));
  for (unsigned i = 0; i < log.size(); ++i) log.set(i, text(value.log[i]));
  out.setSubmittedUnixMs(value.submitted_unix_ms);
}

JobRecord read(schema::JobRecord::Reader in) {
  JobRecord record;
  record.job = {in.getJob()};
  record.spec = read(in.getSpec());
  record.state = enumerator(in.getState(), JobState::cancelled, "the job state");
  record.attempt = in.getAttempt();
  record.node = {in.getNode()};
  record.process = {in.getProcess()};
  record.result = read(in.getResult());
  if (in.hasError()) record.error = read(in.getError());
  record.log = read_list(in.getLog());
  record.submitted_unix_ms = in.getSubmittedUnixMs();
  return record;
}

void write(schema::NodeStatus::Builder out, const NodeStatus& value) {
  out.setNode(value.node.value);
  write(out.initInfo(), value.info);
  out.setState(static_cast<schema::NodeState>(value.state));
  out.setSinceBeatMs(static_cast<std::uint64_t>(std::max<std::int64_t>(value.since_beat.count(), 0)));
  write(out.initLoad(), value.load);
  out.setPlannedBytes(value.planned_bytes);
}

NodeStatus read(schema::NodeStatus::Reader in) {
  NodeStatus status;
  status.node = {in.getNode()};
  status.info = read(in.getInfo());
  status.state = enumerator(in.getState(), NodeState::lost, "the node state");
  constexpr std::uint64_t longest = std::uint64_t{1} << 62;
  status.since_beat = std::chrono::milliseconds(static_cast<std::int64_t>(std::min(in.getSinceBeatMs(), longest)));
  status.load = read(in.getLoad());
  status.planned_bytes = in.getPlannedBytes();
  return status;
}

void write(schema::ReplicaStatus::Builder out, const ReplicaStatus& value) {
  out.setReplica(value.replica.value);
  out.setState(static_cast<schema::ReplicaState>(value.state));
  out.setServes(value.serves);
  out.setIncarnation(value.incarnation.value);
  if (value.serving) write(out.initServing(), *value.serving);
  if (value.pending) write(out.initPending(), *value.pending);
  out.setMessage(text(value.message));
  if (value.metrics) write(out.initMetrics(), *value.metrics);
}

ReplicaStatus read(schema::ReplicaStatus::Reader in) {
  ReplicaStatus status;
  status.replica = {in.getReplica()};
  status.state = enumerator(in.getState(), ReplicaState::failed, "the replica state");
  status.serves = in.getServes();
  status.incarnation = {in.getIncarnation()};
  if (in.hasServing()) status.serving = read(in.getServing());
  if (in.hasPending()) status.pending = read(in.getPending());
  status.message = read(in.getMessage());
  if (in.hasMetrics()) status.metrics = read(in.getMetrics());
  return status;
}

void write(schema::DeploymentStatus::Builder out, const DeploymentStatus& value) {
  write(out.initSpec(), value.spec);
  write(out.initFacts(), value.facts);
  write(out.initReplica(), value.replica);
  if (!value.others.empty()) write_list(out.initOthers(length(value.others.size())), value.others);
}

DeploymentStatus read(schema::DeploymentStatus::Reader in) {
  return {read(in.getSpec()), read(in.getFacts()), read(in.getReplica()), read_list(in.getOthers())};
}

void write(schema::ClusterStatus::Builder out, const ClusterStatus& value) {
  out.setTerm(value.term.value);
  out.setProfile(text(value.profile));
  out.setRecovering(value.recovering);
  write_list(out.initNodes(length(value.nodes.size())), value.nodes);
  write_list(out.initDeployments(length(value.deployments.size())), value.deployments);
}

ClusterStatus read(schema::ClusterStatus::Reader in) {
  ClusterStatus status;
  status.term = {in.getTerm()};
  status.profile = read(in.getProfile());
  status.recovering = in.getRecovering();
  status.nodes = read_list(in.getNodes());
  status.deployments = read_list(in.getDeployments());
  return status;
}

void write(schema::ConductorLocation::Builder out, const ConductorLocation& value) {
  out.setDeployment(text(value.deployment));
  out.setReplica(value.replica.value);
  out.setEpoch(value.epoch.value);
  out.setIncarnation(value.incarnation.value);
  out.setNode(value.node.value);
  out.setNodeName(text(value.node_name));
  write(out.initRpc(), value.rpc);
}

ConductorLocation read(schema::ConductorLocation::Reader in) {
  ConductorLocation location;
  location.deployment = read(in.getDeployment());
  location.replica = {in.getReplica()};
  location.epoch = {in.getEpoch()};
  location.incarnation = {in.getIncarnation()};
  location.node = {in.getNode()};
  location.node_name = read(in.getNodeName());
  location.rpc = read(in.getRpc());
  return location;
}

void write(schema::LogLine::Builder out, const LogLine& value) {
  out.setNumber(value.number);
  out.setLife(value.life);
  const std::size_t size = std::min(value.text.size(), rpc_limits::log_line_bytes_max);
  auto line = out.initText(static_cast<unsigned>(size));
  std::copy_n(value.text.begin(), size, line.begin());
}

LogLine read(schema::LogLine::Reader in) { return {in.getNumber(), read(in.getText()), in.getLife()}; }

std::vector<LogLine> last_lines(const std::vector<LogLine>& lines) {
  const std::size_t count = std::min(lines.size(), rpc_limits::log_lines_max);
  return {lines.end() - static_cast<std::ptrdiff_t>(count), lines.end()};
}

void write(schema::LogQuery::Builder out, const LogQuery& value) {
  out.setNode(text(value.node));
  out.setAfter(value.after);
  out.setLife(value.life);
  out.setLines(value.lines);
  out.setWaitMs(static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(value.wait.count(), 0, rpc_limits::call_deadline_max.count())));
}

LogQuery read(schema::LogQuery::Reader in) {
  LogQuery query;
  query.node = read(in.getNode());
  query.after = in.getAfter();
  query.life = in.getLife();
  query.lines = std::min<std::uint32_t>(in.getLines(), rpc_limits::log_lines_max);
  query.wait = std::min(std::chrono::milliseconds(in.getWaitMs()), rpc_limits::call_deadline_max);
  return query;
}

}  // namespace tessera::wire
