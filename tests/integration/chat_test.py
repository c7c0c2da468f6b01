"""tessera run --chat and chat-template, as a user meets them."""

import json
import os
import signal
import subprocess

from binary import BAD_INPUT, BINARY, INTERRUPTED, OK, TIME_FACTOR, TINY, USAGE, BinaryTest, tessera

TEMPLATE = ("{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
            "{% if tools %}[{{ tools|tojson }}]{% endif %}{% if not thinking|default(true) %}!{% endif %}{% if add_generation_prompt %}<a>{% endif %}")


class ChatTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.template = cls.write("chat.jinja", TEMPLATE)
        cls.model = os.path.join(cls.folder, "chat.h5")
        result = tessera("import", os.path.join(TINY, "model.bin"), cls.model, "--tokenizer", os.path.join(TINY, "tokenizer.bin"),
                         "--chat-template", cls.template)
        assert result.returncode == OK, result.stderr

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def prompt(self, *arguments):
        result = tessera("chat-template", self.model, *arguments, "--json")
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        return json.loads(result.stdout)

    def test_the_prompt_of_a_conversation_can_be_seen(self):
        out = self.prompt("--system", "S", "-p", "Hi")
        bos, eos = out["prompt"][: out["prompt"].index("<system>")], out["prompt"][out["prompt"].index("S") + 1 : out["prompt"].index("<user>")]
        self.assertEqual(out["prompt"], f"{bos}<system>S{eos}<user>Hi{eos}<a>")
        # BOS and EOS are tokens, not their letters.
        self.assertEqual(out["ids"][0], 1)
        self.assertEqual(out["ids"].count(2), 2)
        plain = tessera("chat-template", self.model, "-p", "Hi", "--no-generation-prompt", "--var", "thinking=false")
        self.assertEqual(plain.stdout.decode(), f"{bos}<user>Hi{eos}!")
        self.assertEqual(tessera("chat-template", self.model, "--source").stdout.decode(), TEMPLATE)
        self.assertEqual(json.loads(tessera("inspect", self.model, "--json").stdout)["chat_template"], TEMPLATE)
        self.assertIn(f"chat template {len(TEMPLATE.encode())} bytes", tessera("inspect", self.model).stdout.decode())
        self.assertIsNone(json.loads(tessera("inspect", self.tiny_f32, "--json").stdout)["chat_template"])
        self.assertEqual(tessera("chat-template", self.template, "-p", "Hi", "--var", "bos_token=<B>", "--var", "eos_token=").stdout, b"<B><user>Hi<a>")

    def test_conversations_and_tools_come_from_files(self):
        messages, tools = [{"role": "user", "content": "é"}], [{"b": 1, "a": 2}]
        as_list, as_object = self.write("list.json", json.dumps(messages)), self.write("object.json", json.dumps({"messages": messages, "tools": tools}))
        tools_file = self.write("tools.json", json.dumps(tools))
        self.assertIn("é", self.prompt("--messages", as_list)["prompt"])
        self.assertEqual(self.prompt("--messages", as_list, "--tools", tools_file), self.prompt("--messages", as_object))
        self.assertIn('[[{"b": 1, "a": 2}]]', self.prompt("--messages", as_object)["prompt"])
        for wrong in ("{", "5", "{}", '{"messages": 1}'):
            self.assert_refused(tessera("chat-template", self.model, "--messages", self.write("wrong.json", wrong)), BAD_INPUT, "wrong.json")

    def test_of_several_templates_tools_or_the_user_choose(self):
        named = self.write("named.jinja", json.dumps([{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"},
                                                      {"name": "rag", "template": "r"}]))
        tools = self.write("some_tools.json", "[]")
        for arguments, expected in (([], b"d"), (["--tools", tools], b"t"), (["--template", "rag"], b"r"), (["--tools", tools, "--template", "default"], b"d")):
            result = tessera("chat-template", named, "-p", "Hi", *arguments)
            self.assertEqual((result.returncode, result.stdout), (OK, expected), result.stderr)
        self.assert_refused(tessera("chat-template", named, "-p", "Hi", "--template", "x"), USAGE, "there is no template 'x'; there is default, tool_use, rag")

    def test_one_answer_to_a_prompt_is_that_of_the_rendered_prompt(self):
        ids = ",".join(map(str, self.prompt("--system", "S", "-p", "Hi")["ids"]))
        expected = self.run_json(self.model, "--prompt-ids", ids, "-n", 8)
        got = self.run_json(self.model, "--chat", "--system", "S", "-p", "Hi", "-n", 8)
        self.assertEqual(got["prompt_ids"], expected["prompt_ids"])
        self.assertEqual(got["ids"], expected["ids"])
        messages = self.write("sys.json", json.dumps([{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]))
        self.assertEqual(self.run_json(self.model, "--messages", messages, "-n", 8)["ids"], expected["ids"])

    def answer_after(self, messages, tokens):
        path = self.write("history.json", json.dumps(messages))
        return tessera("run", self.model, "--messages", path, "-n", tokens, "--seed", 1).stdout.decode()[:-1]

    def test_a_chat_goes_on_with_its_history(self):
        result = tessera("run", self.model, "--chat", "--system", "S", "-n", 6, "--seed", 1, stdin=b"one\ntwo\n\n/reset\none\n/exit\nthree\n")
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        system = {"role": "system", "content": "S"}
        first = self.answer_after([system, {"role": "user", "content": "one"}], 6)
        second = self.answer_after([system, {"role": "user", "content": "one"}, {"role": "assistant", "content": first}, {"role": "user", "content": "two"}], 6)
        self.assertEqual(result.stdout.decode(), f"{first}\n{second}\n{first}\n")
        self.assertEqual(tessera("run", self.model, "--chat", "-n", 1, stdin=b"").returncode, OK)

    def test_ctrl_c_stops_an_answer_and_sigterm_the_chat(self):
        process = subprocess.Popen([BINARY, "run", self.model, "--chat", "-n", "100000", "--ignore-eos"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdin.write(b"Hi\n")
        process.stdin.flush()
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.stdin.write(b"/help\n")
        process.stdin.flush()
        while b"/exit" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60 * TIME_FACTOR)
        self.assertEqual(process.returncode, INTERRUPTED)

    def test_what_cannot_be_is_refused_with_the_remedy(self):
        self.assert_refused(tessera("run", self.tiny_f32, "--chat", "-p", "a"), USAGE, "--chat-template")
        self.assert_refused(tessera("run", self.tiny_f32, "--chat", stdin=b"a\n"), USAGE, "--chat-template")
        self.assert_refused(tessera("chat-template", self.tiny_f32), USAGE, "--chat-template")
        self.assert_refused(tessera("run", self.model, "--chat", "--json"), USAGE, "--messages")
        self.assert_refused(tessera("run", self.model, "-p", "a", "--system", "S"), USAGE, "--chat")
        self.assert_refused(tessera("run", self.model, "--chat", "--prompt-ids", "1"), USAGE, "text")
        self.assert_refused(tessera("run", self.model, "--chat", "-p", "a", "--var", "x"), USAGE, "NAME=VALUE")
        self.assert_refused(tessera("chat-template", self.write("bad.jinja", "a\n{{ b"), "-p", "a"), BAD_INPUT, "bad.jinja", "line 2")
        self.assert_refused(tessera("chat-template", self.write("no.jinja", "{{ raise_exception('Nein') }}"), "-p", "a"), USAGE, "Nein")
        loop = self.write("loop.jinja", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
        self.assert_refused(tessera("chat-template", loop, "-p", "a"), 1, "steps")
        out = tessera("import", os.path.join(TINY, "model.bin"), self.path("x.h5"), "--chat-template", self.write("bad2.jinja", "{% if %}"))
        self.assert_refused(out, BAD_INPUT, "bad2.jinja")
