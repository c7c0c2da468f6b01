"""Chat templates as Hugging Face transformers renders them: the reference that ours is compared with.

transformers itself is no package of Debian; what it adds to Jinja is little and written here from its documentation: the environment's
options, raise_exception, strftime_now, a tojson that escapes nothing, and {% generation %}.
"""

import copy
import datetime
import functools
import json
import os
import subprocess
import warnings

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

RENDERER = os.environ.get("TESSERA_RENDERER", "")


class Generation(jinja2.ext.Extension):
    """{% generation %}…{% endgeneration %}: what an assistant wrote. Rendering only calls the body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Refused(Exception):
    """raise_exception() was called."""


def environment(now):
    def raise_exception(message):
        raise Refused(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    result = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = now.strftime
    return result


@functools.lru_cache(maxsize=64)
def _compiled(template, seconds):
    now = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's compiler comments on what the templates of the tests do
        return environment(now).from_string(template)


def expected(request):
    """{"text": …} or {"error": …} for a request to the renderer."""
    try:
        template = _compiled(request["template"], request.get("now", 0))
        # The reference lets some filters change what they are given (indent adds to a list): each rendering gets values of its own.
        request = copy.deepcopy(request)
        text = template.render(messages=request.get("messages", []), tools=request.get("tools"), documents=request.get("documents"),
                               add_generation_prompt=request.get("add_generation_prompt", True), **request.get("variables", {}))
        text.encode()
        return {"text": text}
    except Exception as error:  # whatever a template does wrong
        return {"error": f"{type(error).__name__}: {error}"}


def rendered(requests):
    """The renderer's answers, in order."""
    lines, last = "", None
    for request in requests:
        # A template is sent once as long as it stays the same.
        same = request["template"] == last
        last = request["template"]
        lines += json.dumps({key: value for key, value in request.items() if key != "template" or not same}) + "\n"
    result = subprocess.run([RENDERER], input=lines.encode(), capture_output=True, timeout=600, check=False)
    answers = [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]
    if result.returncode != 0 or len(answers) != len(requests):
        request = requests[len(answers)] if len(answers) < len(requests) else None
        raise AssertionError(f"the renderer ended with {result.returncode} at {request}: {result.stderr.decode()[-2000:]}")
    return answers


def differences(requests):
    """(request, expected, answer) where they differ. Errors need not have the same words, but must be errors."""
    found = []
    for request, answer in zip(requests, rendered(requests)):
        wanted = expected(request)
        if ("error" in wanted) != ("error" in answer) or wanted.get("text") != answer.get("text"):
            found.append((request, wanted, answer))
    return found
