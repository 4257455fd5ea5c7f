"""YAML syntax errors in plain words.

ruamel.yaml says where it stumbled in the words of the YAML specification. Here is what to tell an author
instead: which line to look at, and what to write.
"""

from __future__ import annotations

import re

from ruamel.yaml.error import MarkedYAMLError

BRACES = "YAML takes '{{ … }}' for a mapping: put the whole text in quotes"
_UNCLOSED = "that opens here is never closed"
_QUOTE = "text with ',', ':' or brackets goes in quotes"

# Parts of ruamel.yaml's messages, and what they mean. `{0}` is what the first group matched.
_EXPLANATIONS = {
    r"character '\\t'": "a tab stands here: indent with spaces",
    r"found character '(.)' that cannot start": "text that begins with {0} goes in quotes",
    r"mapping values are not allowed": "a ':' where none is expected: quote text that contains ': ', "
    "and let the keys of one mapping start in the same column",
    r"sequence entries are not allowed": "a '- ' where none is expected: a list starts on a line of its own",
    r"mapping keys are not allowed": "a '? ' where none is expected: quote the text",
    r"quoted scalar.*(?:end of stream|document separator)": f"the quote {_UNCLOSED}",
    r"unknown escape character '(.)'": "\\{0} means nothing in double quotes: write \\\\{0}, "
    "or use single quotes",
    r"could not find expected ':'": "a key and a ':' were expected in this line",
    r"flow mapping.*stream end": f"the '{{{{' {_UNCLOSED}",
    r"flow sequence.*stream end": f"the '[' {_UNCLOSED}",
    r"flow node.*stream end": f"the '[' or '{{{{' {_UNCLOSED}",
    r"flow mapping.*but got": f"a ',' or the '}}}}' of the mapping was expected here: {_QUOTE}",
    r"flow sequence.*but got": f"a ',' or the ']' of the list was expected here: {_QUOTE}",
    r"expected <block end>, but found '<scalar>'": "text where none is expected: quote the whole text, "
    "or check the indentation",
    r"expected <block end>, but found '\?'": "a key where none is expected: check the indentation",
    r"expected <block end>, but found '(.+)'": "a '{0}' where none is expected: check the indentation, "
    "and quote text with brackets",
    r"expected the node content, but found '(.+)'": "text that begins with {0} goes in quotes",
    r"undefined tag handle '(.+)'": "text that begins with {0} goes in quotes",
    r"scanning an? (?:alias|anchor)": "text that begins with * or & goes in quotes",
    r"<document start>": "text that begins with % goes in quotes",
}
_LOOK_AT_THE_START = (_UNCLOSED, "a key and a ':' were expected")
"""Where the construct began says more than where its end was missed."""


def explain(error: MarkedYAMLError, lines: list[str]) -> tuple[int | None, str]:
    """The line to look at, and what is wrong there."""
    told = f"{error.context or ''} {error.problem or ''}".strip()
    here, start = error.problem_mark or error.context_mark, error.context_mark
    for pattern, explanation in _EXPLANATIONS.items():
        match = re.search(pattern, told, re.DOTALL)
        if match is None:
            continue
        mark = start if start and any(part in explanation for part in _LOOK_AT_THE_START) else here
        line = mark.line + 1 if mark else None
        if line and line <= len(lines) and re.search(r"[:\-]\s*\{\{", lines[line - 1]):
            return line, BRACES
        return line, explanation.format(*match.groups())
    return (here.line + 1 if here else None), f"this is not YAML: {told}"
