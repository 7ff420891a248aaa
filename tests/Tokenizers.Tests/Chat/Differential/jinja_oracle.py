"""Renders templates with Jinja2 as transformers' apply_chat_template sets it up.

Reads JSON lines: first {"contexts": {name: variables}}, then {"template": text, "context": name}.
Writes for each template a JSON line: {"text": output} or {"error": message}.
"""
import copy
import json
import sys
import warnings
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

warnings.simplefilter("ignore")


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(format):
    return datetime(2025, 3, 4, 5, 6, 7).strftime(format)


def create_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def main():
    sys.stdin.reconfigure(encoding="utf-8")
    contexts = json.loads(sys.stdin.readline())["contexts"]
    environment = create_environment()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            variables = copy.deepcopy(contexts[request["context"]])  # the filter indent changes a list in place
            text = environment.from_string(request["template"]).render(**variables)
            answer = {"text": text}
            json.dumps(answer, ensure_ascii=False).encode("utf-8")
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()}
        print(json.dumps(answer))


main()
