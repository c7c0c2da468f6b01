"""What nodes send each other: frames and commands of the data plane, messages of the control plane."""

import os
import struct
import subprocess

from fuzz_seeds.basics import ROOT, TEST_DATA


def _capnp(kind, text):
    """One message of schemas/exchange.capnp, in one segment with its segment table."""
    schema = os.path.join(os.path.dirname(os.path.dirname(TEST_DATA)), "schemas", "exchange.capnp")
    return subprocess.run(["capnp", "encode", schema, kind], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def exchange_frame_seeds():
    """A byte that says what follows: 0 a hello, 1 frames, 2 a command. The limits are those of the fuzz target."""
    hello = _capnp("HelloMessage", '(hello = (protocolVersion = 1, cluster = "demo", replica = 3, epoch = 7, from = 1, to = 0,'
                                   ' encrypted = true, nonce = "' + "n" * 32 + '"))')
    refusal = _capnp("HelloMessage", '(refusal = (reason = version, text = "another version"))')
    header = _capnp("FrameHeader", "(kind = 1, op = 1, layer = 3, step = 40, replica = 3, epoch = 7, incarnation = 2, offset = 0, total = 40)")
    frame = struct.pack("<I", len(header) + 40) + header + bytes(range(40))
    sealed = struct.pack("<I", len(header) + 40 + 16) + header + bytes(range(56))
    sampling = "(temperature = 0.5, topK = 3, topP = 0.9, repeatPenalty = 1.1, seed = 9, biasTokens = [4], biasValues = [-1.5])"
    sequence = ('(idHigh = 1, idLow = 2, deployment = "chat", prompt = [1, 2, 3], delivered = [4], generated = [4, 5], tokensMax = 9,'
                " sampling = " + sampling + ", endTokens = [0, 2], scorePrompt = true, pages = [11], computed = 5, scored = 2)")
    commands = {
        "step": "(step = (number = 7, rows = [(token = 5, position = 40, wantsLogits = true), (token = 6, sequence = 1)], sequences = [[3, 4], [9]]))",
        "step_outside": "(step = (number = 7, rows = [(token = 5, position = 64)], sequences = [[3, 4]]))",
        "begin": "(begin = (incarnation = 8, nextStep = 5))",
        "transfer": "(transfer = (fromEpoch = 6, incarnation = 9, nextStep = 10, pages = [11, 12], sequences = [" + sequence + "]))",
        "kv_pages": '(kvPages = (layersEnd = 1, headsEnd = 2, pageBytes = 4, pages = [1, 2], payload = "' + "k" * 32 + '"))',
        "ack": "(ack = (of = transfer, step = 3, ok = true))",
        "ack_error": '(ack = (of = begin, ok = false, code = 3, text = "no memory"))',
        "lease": "(lease = (action = grant, ticket = 42))",
    }
    prefix = b"TSRX" + struct.pack("<I", len(hello))
    return {"hello": b"\0" + prefix + hello, "hello_truncated": b"\0" + prefix + hello[:-8],
            "refusal": b"\0TSRX" + struct.pack("<I", len(refusal)) + refusal, "other_magic": b"\0GET / HTTP/1.1",
            "frame": b"\1" + frame, "frames": b"\1" + frame * 3, "sealed": b"\1" + sealed, "frame_truncated": b"\1" + frame[:-1],
            **{name: b"\2" + _capnp("Command", text) for name, text in commands.items()}}


def _control_message(schema, kind, text):
    """One message of schemas/<schema>.capnp, with its segment table."""
    path = os.path.join(ROOT, "schemas", schema + ".capnp")
    return subprocess.run(["capnp", "encode", path, kind], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def rpc_message_seeds():
    """A byte that says which struct follows, as in the fuzz target."""
    slices = "(attention = (begin = 0, end = 3), ffn = (begin = 0, end = 5), vocab = (begin = 0, end = 1))"
    plan = ('(term = 2, replica = 3, epoch = 4, deployment = "chat", uri = "/m.h5", contentId = "ab", profile = "cpu-1", kvPages = 7,'
            " stages = [(layers = (begin = 0, end = 2), shards = [" + slices + "])],"
            ' participants = [(node = 1, name = "w1", data = (host = "10.0.0.1", port = 9001)), (node = 2, name = "w2")],'
            " previous = 3, previousKv = [(participant = 1, layers = (begin = 0, end = 2), kvHeads = (begin = 0, end = 1))], leaseNodes = [1, 2])")
    info = ('(name = "w1", incarnation = 7, rpc = (host = "::1", port = 1), data = (host = "a", port = 2), computes = true, cores = 4,'
            ' memoryBytes = 100, speed = 2.5, isa = "avx2", profile = "cpu-1", version = "0.1.0")')
    spec = '(name = "chat", uri = "/m.h5", workers = 3, stages = 2, kvPositions = 64, idempotencyKey = "k")'
    facts = ('(shape = (family = "llama", dim = 32, layers = 1, heads = 2, kvHeads = 1, headDim = 16, ffnDim = 40, vocabSize = 20,'
             " contextLength = 64, normEps = 1e-5, ropeTheta = 10000, tiedHead = true), geometry = (attentionHeads = 2, attentionSlices = 1,"
             ' ffnColumns = 32, ffnSlices = 2, vocabRows = 1024, vocabSlices = 1), dtype = "q8", name = "m", uri = "/m.h5", contentId = "ab")')
    job = ('(job = 11, spec = (kind = verify, uri = "/m.h5", input = "abc", client = "alice"), state = failed, attempt = 2, node = 4,'
           ' process = 9, result = "r", error = (code = io, message = "no file"), log = ["one", "two"], submittedUnixMs = 5)')
    stored = {"plan": plan, "node": "(node = 5, draining = true, info = " + info + ")", "counters": "(nextNode = 7, nextReplica = 8, nextJob = 9)",
              "deployment": "(replica = 9, spec = " + spec + ", facts = " + facts + ")", "job": job,
              "replica": '(replica = 3, deployment = "chat", lastEpoch = 8, serving = ' + plan + ", broken = true, pending = " + plan + ")"}
    seeds = {"stored_" + kind: b"\0" + _control_message("stored", "StoredRecord", f"({kind} = {text})") for kind, text in stored.items()}
    status = ("(term = 9, recovering = true, nodes = [(node = 4, state = drained, info = " + info + ", load = (shards = 3))], deployments ="
              " [(spec = " + spec + ", facts = " + facts + ", replica = (state = serving, serving = " + plan + "))])")
    calls = [("stream", "StreamRequest", '(high = 1, low = 2, deployment = "chat", prompt = [1, 2], delivered = [3], tokensMax = 9,'
              " sampling = (temperature = 0.5, topP = 1, logitBias = [(token = 7, bias = -2.5)], seed = 8), endTokens = [2], scorePrompt = true)"),
             ("stream", "StreamUpdate", "(high = 1, low = 2, incarnation = 4, tokens = [(index = 1, token = 5, logProbability = -0.5)],"
              ' scores = [(index = 1, logProbability = -2)], end = failed, error = (code = io, message = "x"))'),
             ("values", "NodeInfo", info), ("values", "NodeLoad", "(cpuShare = 0.5, shards = 4, tokensPerSecond = 9.5)"),
             ("state", "ClusterStatus", status), ("state", "DeploySpec", spec),
             ("cluster", "LogQuery", '(node = "w1", after = 3, lines = 9, waitMs = 5)'), ("values", "Failure", '(code = conflict, message = "x")')]
    for number, (schema, kind, text) in enumerate(calls, 1):
        seeds[kind] = bytes([number]) + _control_message(schema, kind, text)
    whole = seeds["stored_replica"]
    return {**seeds, "truncated": whole[:-16], "huge_segments": b"\0" + struct.pack("<I", 2**32 - 1) + whole[5:],
            "huge_list": b"\0" + struct.pack("<IIQQ", 0, 2, 1 << 48, 0xFFFFFFF800000001)}


def rpc_conversation_seeds():
    """The peer's role (0 coordinator, 1 worker, 2 gateway, 3 operator, 4 user), then operations as the fuzz target reads them."""

    def chunk(data):
        return struct.pack("<H", len(data)) + data

    def call(question, interface, method, data=b"\0\0", target=b"\x81", field=b"\1", capability=None):
        """On a pointer field of the answer to question 1, Gate.enter: 2 registry, 3 cluster, 4 conductor."""
        head = bytes([3 if capability is not None else 2, question]) + target + field + bytes([interface, method])
        return head + (bytes([capability, 0]) if capability is not None else b"") + data

    def entered(role, service):
        return bytes([role]) + b"\0\0" + bytes([1, 1, 0, service, 5])  # bootstrap, enter

    info = '(name = "w1", incarnation = 7, rpc = (host = "::1", port = 1), data = (host = "a", port = 2), computes = true, cores = 4)'
    registry, cluster, conductor = 1, 2, 3
    spec = _control_message("state", "DeploySpec", '(name = "chat", uri = "/m.h5")')
    stream = _control_message("stream", "StreamRequest", '(high = 1, low = 2, deployment = "chat", prompt = [1, 2], tokensMax = 9)')
    node = _control_message("values", "NodeInfo", info)
    seeds = {"bootstrap": b"\3\0\0", "enter_operator": entered(3, 0), "enter_user_conductor": entered(4, 1)}
    for method in range(13):
        seeds[f"cluster_{method}"] = entered(3, 0) + call(2, cluster, method, chunk(spec), field=b"\3", capability=6) + b"\4\2\0"
    for method in range(6):
        seeds[f"registry_{method}"] = entered(1, 0) + call(2, registry, method, chunk(node), field=b"\2", capability=6)
    for method in range(4):
        seeds[f"conductor_{method}"] = entered(4, 1) + call(2, conductor, method, chunk(stream), field=b"\4")
    seeds["denied"] = entered(4, 0) + call(2, cluster, 3, chunk(spec), field=b"\3")
    seeds["twice"] = entered(3, 0) + bytes([1, 2, 0, 0, 5]) + bytes([4, 1, 0]) + bytes([5, 0, 1])
    seeds["raw"] = b"\3\x09" + chunk(struct.pack("<IIQ", 0, 1, 0)) + b"\x09" + chunk(b"GET / HTTP/1.1\r\n\r\n")
    seeds["returns"] = entered(1, 0) + call(2, registry, 0, chunk(node), field=b"\2", capability=6) + bytes([6, 0, 0]) + bytes([6, 1, 3, 0, 0]) + chunk(node)
    return seeds
