"""What people and programs write: chat templates, bodies of HTTP requests, cluster.toml."""

import json
import os
import re

from fuzz_seeds.basics import EXAMPLES


def chat_template_seeds():
    """A template, and perhaps "CHAT:" and a conversation. What makes a template slow, large or deep is here too."""
    chat = (b"{{ bos_token }}{%- for m in messages -%}{{ '<|' + m.role + '|>' }}\n{%- if m.tool_calls %}{{ m.tool_calls|tojson(indent=2) }}"
            b"{% elif m.content is string %}{{ m.content|trim }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
            b"{% if add_generation_prompt %}<|assistant|>{% endif %}")
    macros = (b"{% macro f(a, b=1) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{{ caller() if caller }}{% endmacro %}{{ f(1, 2, 3, c=4) }}"
              b"{% call(x) f('a') %}{{ x }}{% endcall %}")
    scopes = (b"{% set ns = namespace(i=0) %}{% for a, b in [(1, 2)] recursive %}{% set ns.i = ns.i + a %}{{ loop.index }}{% else %}x{% endfor %}"
              b"{% with a = 1 %}{% set b %}{{ a }}{% endset %}{{ b|upper }}{% endwith %}{% block c %}{% raw %}{{ }}{% endraw %}{% endblock %}")
    filters = (b"{{ [3, 1, 2]|sort|reverse|list|join(', ') }}{{ 'a b'|title|indent(2, true) }}{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first }}"
               b"{{ '%05.2f %s'|format(1.5, 'x') }}{{ '{:>8} {0!r}'.format('a') }}{{ {'b': 1, 'a': 2}|dictsort }}{{ [1, 2, 3, 4]|batch(3, 0)|list }}"
               b"{{ 'a,b'.split(',')[::-1] }}{{ 'x'.replace('', 'y') }}{{ strftime_now('%d %b %Y') }}{{ range(9)[2:8:3]|list }}{{ 2 ** 10 // 3 % 7 }}")
    grow = b"{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
    several = json.dumps([{"name": "default", "template": chat.decode()}, {"name": "tool_use", "template": "{{ tools }}"}]).encode()
    return {"chat": chat, "several": several, "conversation": chat + b'CHAT:[{"role": "user", "content": "a"}, {"role": "assistant", "content": ["b", 1, null]}]',
            "variables": b"{{ a }}{{ b.c[0] }}CHAT:" + b'{"a": 1e300, "b": {"c": ["\\u00e9"]}}', "macros": macros, "scopes": scopes, "filters": filters,
            "refusal": b"{{ raise_exception('no ' ~ messages|length) }}", "endless": b"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
            "loops": b"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "repeat": b"{{ ('a' * 999999999)|length }}{{ 'ab' * 99 * 999 * 999 }}",
            "grow": grow, "pairs": grow.replace(b"ns.x + ns.x", b"[ns.x, ns.x]") + b"{{ ns.x }}", "circle": b"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
            "power": b"{{ 9 ** 9 ** 9 ** 9 }}{{ 1.5 ** 99999 }}", "width": b"{{ 'a'|center(999999999) }}{{ '%999999999d' % 1 }}{{ '{:999999999}'.format(1) }}{{ 'a'|indent(99999999) }}",
            "deep": b"{{ " + b"(" * 5000 + b")" * 5000 + b" }}", "deep_list": b"{{ " + b"[" * 150 + b"]" * 150 + b" }}", "deep_if": b"{% if 1 %}" * 400,
            "long_sum": b"{{ 1" + b"+1" * 5000 + b" }}", "not_closed": b"{% if x %}{{ y", "not_utf8": b"{{ '\xff' }}", "map_of_maps": b"{{ 'a'|map(*(['map'] * 99999))|list }}"}


def gateway_request_seeds():
    """A byte (p: completion, c: chat, t: predict, i: infer, g: generate, a: AMP, s: WebSocket, o: where a request comes from, h: headers with a key, k: a file of
    keys), then what it says; or a path."""
    completion = {"model": "m", "prompt": "Once", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "n": 2, "stop": ["a", "b"], "seed": -3,
                  "logit_bias": {"5": -100}, "stream": True, "stream_options": {"include_usage": True}, "echo": True, "logprobs": 0, "suffix": None}
    chat = {"model": "m", "messages": [{"role": "developer", "content": "S"}, {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "\u00e9"}]},
                                       {"role": "assistant", "content": "A", "tool_calls": []}],
            "max_completion_tokens": 3, "logprobs": True, "top_logprobs": 2, "response_format": {"type": "text"}, "chat_template_kwargs": {"a": [1, {"b": None}]}}

    key = {"name": "ci", "hash": "0f" * 32, "created": 1764255600, "expires": 1800000000, "models": ["m", "a/b"], "concurrent_requests": 4,
           "requests_per_minute": 60, "tokens_per_minute": 100000}
    drawn = {"max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "presence_penalty": 1, "frequency_penalty": -1,
             "repetition_penalty": 1.5, "seed": 7, "stop": ["a", {"b64": "Yg=="}]}
    tensor = {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["a"], ["b"]], "parameters": {}}
    infer = {"id": "7", "inputs": [tensor], "outputs": [{"name": "text", "parameters": {"binary_data": False}}],
             "parameters": {"max_tokens": 3, "stop": "x", "ignore_eos": True, "binary_data_output": False}}
    said = {"text": "Hi", "max_tokens": 3, "stop": ["x"], "seed": 5}

    def body(kind, fields):
        return kind + json.dumps(fields).encode()

    families = {"instances": body(b"t", {"signature_name": "serving_default", "instances": ["a", {"b64": "Yg=="}]}),
                "rows": body(b"t", {"instances": [{"text": "a", **drawn}, {"text": "b", **drawn}]}),
                "columns": body(b"t", {"inputs": {"text": ["a", "b"], "seed": [1, 2], "stop": [["x"], ["y"]]}}),
                "bytes": body(b"t", {"signature_name": "serving_bytes", "inputs": [{"b64": "Yg=="}]}),
                "examples": body(b"t", {"context": {"x": 1}, "examples": [{"y": 2}]}), "infer": body(b"i", infer),
                "infer_flat": body(b"i", {"inputs": [{**tensor, "data": ["a", "b"]}]}), "generate": body(b"g", {"text_input": "a", "parameters": {"stream": True}}),
                "said": body(b"a", said), "prediction": body(b"a", {"model": "m", "input": json.dumps({"userId": 1})}),
                "conversation": body(b"a", {"messages": chat["messages"]}),
                "target": body(b"a", {"model_id": "m", "input_parameters": {"rooms": 3}, "output_target": "price"}),
                "socket": body(b"s", {"id": "1", **said}), "cancel": body(b"s", {"type": "cancel"}),
                "verb": b"/v1/models/a:b/versions/1:Predict", "section": b"/v1/models/m/labels/x/metadata", "envelope": b"/api/v1/models"}
    return {**families, "completion": body(b"p", completion), "ids": body(b"p", {**completion, "prompt": [1, 2, 3]}), "id_lists": body(b"p", {**completion, "prompt": [[1], [2]]}),
            "texts": body(b"p", {**completion, "prompt": ["a", "b"]}), "chat": body(b"c", chat), "tools": body(b"c", {**chat, "tools": [{"type": "function"}]}),
            "image": body(b"c", {**chat, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "unknown": body(b"c", {**chat, "surprise": 1}),
            "huge_numbers": b'p{"model":"m","prompt":[18446744073709551615,-9223372036854775808,1e999],"n":1e400}', "twice": b'p{"model":"m","model":"n"}',
            "deep": b"p" + b'{"a":' * 100, "not_utf8": b'p{"model":"\xff"}', "escapes": b'p{"model":"\\u0000\\ud800","prompt":"\\""}', "not_closed": b'c{"messages":[{"role":"',
            "same_origin": b"olocalhost:8080\nhttp://localhost:8080", "other_origin": b"o[::1]:1\nnull", "other_host": b"oevil.example\n",
            "bearer": b"hBearer tsr_" + b"5a" * 32 + b"\ncontent-type, x-mine", "api_key": b"hBasic eA==\n tsr_1 ", "no_key": b"hBearer\n",
            "keys": body(b"k", {"version": 1, "keys": [key, {"name": "b", "hash": "a0" * 32, "created": 0}]}), "no_keys": b'k{"version":1,"keys":[]}',
            "same_key": body(b"k", {"version": 1, "keys": [key, key]}), "newer_keys": body(b"k", {"version": 2, "keys": []}),
            "wrong_key": body(b"k", {"version": 1, "keys": [{**key, "admin": True}]}), "many_keys": b'k{"version":1,"keys":[' + b"{}," * 2000 + b"{}]}"}


def cluster_config_seeds():
    with open(os.path.join(EXAMPLES, "cluster.toml"), "rb") as file:
        example = file.read()
    # The keys that the example shows behind a # as well.
    every_key = re.sub(rb"(?m)^#(\w+ = |\[)", rb"\1", example)
    small = b'name = "demo"\ncoordinator = "c"\n[[nodes]]\nname = "c"\n'
    return {"example": example, "every_key": every_key, "small": small, "empty": b"", "unknown_key": small + b"memmory = 1\n",
            "same_name": small + b'[[nodes]]\nname = "c"\n', "same_port": small + b'[[nodes]]\nname = "w"\nrpc_port = 7070\n',
            "wrong_kinds": b"name = 1\ncoordinator = 2.5\nnodes = [[1], {a = 2021-01-01T00:00:00Z}]\ntimeouts = true\n",
            "inline": b'name="d"\ncoordinator="c"\nnodes=[{name="c",roles=["coordinator","worker"]}]\n',
            "gateway": small + b'[[nodes]]\nname = "g"\nroles = ["gateway"]\n[nodes.gateway]\nlisten = ["[::1]:80=openai,health", "h:0"]\n',
            "no_gateway": small + b'[nodes.gateway]\nlisten = ["x", "1:2:3"]\ntls_key = "k"\n',
            "not_toml": b"name = demo", "deep": b"a = " + b"[" * 600, "not_utf8": b'name = "\xff\xfe"\n'}
