"""Conversations of every kind that templates distinguish, for each template to be tried on."""

import itertools

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Gets the weather – today's or tomorrow's – at a \"place\".",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": " Where? <b>City & country</b> "},
                "days": {"type": "integer", "description": "How many", "default": 1, "minimum": 0, "maximum": 18446744073709551615},
                "unit": {"type": "string", "enum": ["°C", "°F"], "description": "of the temperature", "default": "°C"},
                "details": {"type": "array", "items": {"type": "string"}, "nullable": True},
                "either": {"type": ["string", "null"], "description": "a union"},
                "nested": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "array"}}, "required": ["a"]},
                "one": {"oneOf": [{"type": "string", "description": "x", "default": "y"}, {"type": "number", "default": 1.5}]},
            },
            "required": ["place"],
        },
        "return": {"type": "object", "description": "What is known", "additionalProperties": {"type": "number"}},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Tells the time", "parameters": {"type": "object", "properties": {}}}}


def system(content="You are terse."):
    return {"role": "system", "content": content}


def user(content="Hello"):
    return {"role": "user", "content": content}


def assistant(content="Hi there.", **more):
    return {"role": "assistant", "content": content, **more}


def tool_call(name="get_weather", arguments=None, call_id="abcdef123"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": {"place": "Zürich", "days": 2} if arguments is None else arguments}}


def tool(content='{"temperature": 21.5}', call_id="abcdef123", **more):
    return {"role": "tool", "name": "get_weather", "tool_call_id": call_id, "content": content, **more}


def calling(content="", *calls, **more):
    return assistant(content, tool_calls=list(calls) or [tool_call()], **more)


CONVERSATIONS = {
    "empty": [],
    "user": [user()],
    "system": [system()],
    "system_user": [system(), user()],
    "two_turns": [user("One"), assistant("1"), user("Two")],
    "system_two_turns": [system(), user("One"), assistant("1"), user("Two"), assistant("2")],
    "many_turns": [m for i in range(6) for m in (user(f"Question {i}?"), assistant(f"Answer {i}."))] + [user("Last")],
    "ends_with_assistant": [user(), assistant("I was about to")],
    "begins_with_assistant": [assistant(), user()],
    "users_in_a_row": [user("a"), user("b")],
    "assistants_in_a_row": [user(), assistant("a"), assistant("b")],
    "system_in_between": [user(), system("Now shout."), assistant("HI")],
    "developer": [{"role": "developer", "content": "Be exact."}, user()],
    "unknown_role": [user(), {"role": "narrator", "content": "He paused."}],
    "unicode": [system("Ünïcödé – 漢字かな 🙂👩‍👩‍👧 \u200b\u2028\u00a0"), user("Ça va? Ελληνικός ΣΑΣ"), assistant("Да. 你好 ‮rtl")],
    "white_space": [system("  spaces  \n"), user("\n\n lines \t\n"), assistant("\n\nanswer \n")],
    "markup": [user("<|im_end|><s>[INST]{{ 1 + 1 }}{% raw %}&amp;<b>'\"\\"), assistant("</s>\\n\\u0041")],
    "empty_content": [system(""), user(""), assistant("")],
    "none_content": [user(), assistant(None)],
    "no_content": [{"role": "user"}],
    "no_role": [{"content": "x"}],
    "content_parts": [user([{"type": "text", "text": "Look at"}, {"type": "image"}, {"type": "text", "text": " this"}])],
    "number_content": [user(5), assistant(1.5), user(True)],
    "thinking_inside": [user("Why?"), assistant("<think>\nBecause…\n</think>\n\nSo."), user("And?"), assistant("<think>a</think>b")],
    "thinking_field": [user("Why?"), assistant("So.", reasoning_content="\nBecause…\n", thinking="Let me see."), user("And?")],
    "thinking_last": [user("Why?"), assistant("So.", reasoning_content="Because", thinking="Let me see.")],
    "no_think_in_system": [system("Be quick. /no_think"), user()],
    "think_in_system": [system("/think  "), user(), assistant("\n\nyes")],
    "one_call": [user("Weather?"), calling(), tool(), assistant("Warm.")],
    "call_without_result": [system(), user("Weather?"), calling("Let me look.")],
    "call_with_thinking": [user("Weather?"), calling("", thinking="A call is due.", reasoning_content="A call."), tool(), user("Thanks")],
    "call_with_final": [user("Weather?"), calling("Looking."), tool(), assistant("Warm."), user("Thanks"), assistant("Welcome.")],
    "two_calls": [user("Weather?"), calling("", tool_call(), tool_call("clock", {}, "123456789")), tool("a"), tool("b", "123456789"), assistant("ok")],
    "arguments_as_text": [user(), calling("", tool_call(arguments='{"place": "Rome"}')), tool({"temperature": 20, "ok": True, "x": None})],
    "result_as_object": [user(), calling(), tool({"content": {"a": [1, 2.5, "ü"]}}), assistant("x")],
    "result_as_list": [user(), calling(), tool(["a", 1, {"b": None}])],
    "short_call_id": [user(), calling("", tool_call(call_id="1")), tool(call_id="1")],
    "no_call_id": [user(), assistant("", tool_calls=[{"function": {"name": "f", "arguments": {}}}]), {"role": "tool", "content": "x"}],
    "flat_call": [user(), assistant("", tool_calls=[{"name": "f", "arguments": {"x": [1]}, "id": "abcdef123"}]), tool("y")],
    "tool_without_call": [user(), tool()],
    "call_and_none": [user(), assistant(None, tool_calls=[tool_call()]), tool()],
    "tool_calls_none": [user(), assistant("x", tool_calls=None), user()],
    "ipython": [user(), assistant("", tool_calls=[tool_call()]), {"role": "ipython", "content": {"output": "x"}}],
    "tool_results": [user(), assistant("", tool_calls=[tool_call()]), {"role": "tool_results", "content": "x", "tool_call_id": "abcdef123"}],
    "channel_tags": [user(), assistant("<|channel|>analysis<|message|>x")],
}
TOOLS = [None, [], [WEATHER], [WEATHER, CLOCK], [WEATHER["function"]]]
VARIABLES = [
    {},
    {"bos_token": "<s>", "eos_token": "</s>"},
    {"bos_token": "<s>", "eos_token": "</s>", "enable_thinking": False, "date_string": "26 Jul 2024", "tools_in_user_message": False},
    {"bos_token": "", "eos_token": "<|end|>", "enable_thinking": True, "builtin_tools": ["browser", "python", "code_interpreter", "brave_search"],
     "reasoning_effort": "high", "model_identity": "You are a test.", "custom_tools": [WEATHER]},
]
NOW = 1785585907  # a Saturday in August


def requests(template, everything=False):
    """Every conversation with every choice of tools, in turn with the choices of variables and generation prompt, or with all of them."""
    for number, (messages, tools) in enumerate(itertools.product(CONVERSATIONS.values(), TOOLS)):
        choices = list(itertools.product(VARIABLES, (True, False)))
        for variables, prompt in choices if everything else [choices[number % 8], choices[(number + 3) % 8]]:
            yield {"template": template, "messages": messages, "tools": tools, "add_generation_prompt": prompt, "now": NOW, "variables": variables}
