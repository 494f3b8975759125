"""From text to a tree of nodes that know their place: YAML 1.2, less everything a plan has no use for.

Works on the parser's events before anything is constructed: an alias bomb or a deep nest costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from osc.errors import Finding, InvalidPlan, Place
from osc.operations.expressions import NOTHING, CutText, WrittenFloat, WrittenInt
from osc.operations.tokens import UNSAFE

DEPTH_MAX = 32
NODES_MAX = 10_000
SCALAR_LENGTH_MAX = 64 * 1024
LINES_MAX = 20_000
LINE_LENGTH_MAX = 64 * 1024
NUMBER_LENGTH_MAX = 40
FINDINGS_MAX = 100
"""More findings than this do not help anybody, and looking for near words costs time for each."""

SHOWN_LENGTH_MAX = 80
"""A name or number of a plan is cut to this length in messages."""


class Broken:
    """Stands for a value that was already refused, so that nothing more is said about it."""


BROKEN: Final = Broken()

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A scalar (``value``), a mapping (``keys``) or a sequence (``items``) with its place in the file."""

    place: Place
    value: Any = None
    keys: dict[str, Node] | None = None
    items: list[Node] | None = None
    key_places: dict[str, Place] = field(default_factory=dict)

    def data(self) -> Any:
        """Return plain values: dicts, and tuples so that pydantic's strict mode takes them for tuples."""
        if self.keys is not None:
            return {key: node.data() for key, node in self.keys.items()}
        return tuple(node.data() for node in self.items) if self.items is not None else self.value

    def child(self, step: str | int) -> Node | None:
        """Return the node below, if there is one."""
        if self.keys is not None and isinstance(step, str):
            return self.keys.get(step)
        if self.items is not None and isinstance(step, int) and 0 <= step < len(self.items):
            return self.items[step]
        return None


def place_below(node: Node, path: Path = ()) -> Iterator[tuple[Path, Place]]:
    """Yield ``path`` and every path below it with its place; a value below a key has the key's place."""
    yield path, node.place
    for key, below in (node.keys or {}).items():
        yield from place_below(replace(below, place=node.key_places[key]), (*path, key))
    for number, below in enumerate(node.items or ()):
        yield from place_below(below, (*path, number))


@dataclass(slots=True)
class Document:
    """What a file holds: the tree, and what was already found wrong with it."""

    root: Node
    findings: list[Finding]


def read_document(text: str, name: str) -> Document:
    """Read ``text``; raise InvalidPlan where it is empty or cannot be read to its end."""
    hidden = [_unsafe(text, found, name) for found in UNSAFE.finditer(text) if found.group() != "\r"]
    if hidden:
        raise InvalidPlan(f"{name} holds characters that do not belong there", findings=hidden[:FINDINGS_MAX])
    _check_lines(text, name)
    builder = _Builder(name, text)
    try:
        builder.build()
    except MarkedYAMLError as error:
        builder.refuse_syntax(error)
    except _Stop:
        pass
    except (YAMLError, ValueError, OverflowError, LookupError, ArithmeticError, AttributeError) as error:
        # Hostile text can break the parser itself (an escape beyond Unicode, a version of a thousand digits).
        builder.fatal = True
        builder.findings.append(Finding("P016", f"not YAML: {type(error).__name__}", place=builder.last))
    if builder.root is None and not builder.findings:
        builder.findings.append(Finding("P001", "the plan is empty", "osc new writes one", place=Place(name)))
    if builder.root is None or builder.fatal:
        raise InvalidPlan(f"{name} cannot be read as a plan", findings=builder.findings)
    return Document(builder.root, builder.findings)


def _check_lines(text: str, name: str) -> None:
    # The parser's time grows with the square of a line, and quickly with the number of lines.
    lines = text.splitlines()
    long = next((number for number, line in enumerate(lines, start=1) if len(line) > LINE_LENGTH_MAX), None)
    if long is not None:
        message, place = f"a line longer than {LINE_LENGTH_MAX} characters", Place(name, long)
    elif len(lines) > LINES_MAX:
        message, place = f"more than {LINES_MAX} lines", Place(name, LINES_MAX + 1)
    else:
        return
    raise InvalidPlan(f"{name}: {message}", findings=[Finding("P012", message, "split the plan", place=place)])


def shown(text: object) -> str:
    """Return ``text`` for a message, cut where it is long."""
    whole = str(text)
    return whole if len(whole) <= SHOWN_LENGTH_MAX else f"{whole[:SHOWN_LENGTH_MAX]}…"


def _unsafe(text: str, found: re.Match[str], name: str) -> Finding:
    line_start = max(text.rfind("\n", 0, found.start()), text.rfind("\r", 0, found.start())) + 1
    line = len(re.findall(r"\r\n|\r|\n", text[:line_start])) + 1
    return _hidden(found.group(), Place(name, line, found.start() - line_start + 1))


def _hidden(char: str, place: Place, path: Path = ()) -> Finding:
    message = f"the character U+{ord(char):04X} hides or reorders text, or cannot be stored"
    return Finding("P019", message, "remove it", place=place, path=path)


class _Stop(Exception):
    """Reading on would not help."""


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet, and for a mapping the key whose value comes next."""

    node: Node
    key: str | None = None


_SKIPPED = "\0"
"""The key of a merge: no plan can hold it, and its value is not kept."""


class _Builder:
    def __init__(self, name: str, text: str) -> None:
        self.name, self.text, self.last = name, text, Place(name)
        self.lines = text.splitlines()
        self.root: Node | None = None
        self.findings: list[Finding] = []
        self.fatal = False
        self.open: list[_Open] = []
        self.nodes = 0
        self.documents = 0

    def refuse(self, code: str, message: str, place: Place, hint: str = "") -> None:
        self.report(Finding(code, message, hint, place=place, path=self.path()))

    def path(self) -> Path:
        steps = ((top.key or "") if top.node.items is None else len(top.node.items) for top in self.open)
        return tuple(step for step in steps if step not in ("", _SKIPPED))

    def report(self, finding: Finding) -> None:
        self.findings.append(finding)
        if len(self.findings) >= FINDINGS_MAX:
            self.stop()

    def stop(self) -> None:
        self.fatal = True
        raise _Stop

    def refuse_syntax(self, error: MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        place = self.place(mark) if mark else Place(self.name)
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        hint = "YAML is indented with spaces" if "'\\t'" in problem else ""
        self.fatal = True
        self.findings.append(Finding("P016", f"not YAML: {problem}", hint, place=place))

    def place(self, mark: Any) -> Place:
        return Place(self.name, mark.line + 1, mark.column + 1)

    def build(self) -> None:
        # The safe loader's parser gives the events of the round-trip one without spending time on comments.
        for event in YAML(typ="safe", pure=True).parse(self.text):
            name = type(event).__name__
            place = self.last = self.place(event.start_mark)
            if name == "DocumentStartEvent":
                self.start_document(event, place)
            elif name == "AliasEvent":
                self.refuse("P010", "aliases are not allowed in a plan", place, "write the value again")
                self.add(Node(place, BROKEN))
            elif name == "ScalarEvent":
                self.add_scalar(event, place)
            elif name in ("MappingStartEvent", "SequenceStartEvent"):
                self.start_collection(event, place, mapping=name == "MappingStartEvent")
            elif name in ("MappingEndEvent", "SequenceEndEvent"):
                self.open.pop()

    def start_document(self, event: Any, place: Place) -> None:
        self.documents += 1
        if self.documents > 1:
            self.findings.append(Finding("P015", "a file holds one plan", "write one file for each", place=place))
            raise _Stop
        if event.tags or event.version not in (None, (1, 2)):
            self.refuse(
                "P016",
                "YAML directives are not allowed in a plan",
                place,
                "remove the line that begins with %",
            )

    def start_collection(self, event: Any, place: Place, *, mapping: bool) -> None:
        if len(self.open) >= DEPTH_MAX:
            self.refuse("P011", f"nested deeper than {DEPTH_MAX} levels", place)
            self.stop()
        node = Node(place, keys={}) if mapping else Node(place, items=[])
        if self.expects_key():
            self.refuse("P016", "a key must be plain text", place)
            self.stop()
        self.add(node if self.allowed(event, place) else Node(place, BROKEN))
        self.open.append(_Open(node))

    def add_scalar(self, event: Any, place: Place) -> None:
        if len(event.value) > SCALAR_LENGTH_MAX:
            self.refuse("P012", f"a text longer than {SCALAR_LENGTH_MAX} characters", place)
            self.stop()
        if found := UNSAFE.search(event.value):
            self.report(_hidden(found.group(), place, self.path()))
            event.value = UNSAFE.sub("\ufffd", event.value)
            broken = True
        else:
            broken = not self.allowed(event, place)
        if self.expects_key():
            self.add_key(event, place)
        else:
            self.add(Node(place, BROKEN if broken else self.scalar(event, place)))

    def allowed(self, event: Any, place: Place) -> bool:
        if event.anchor is not None:
            self.refuse("P010", "anchors are not allowed in a plan", place, "write the value where it is needed")
        tag = event.tag if getattr(event, "ctag", None) is None else event.ctag
        if tag is not None:
            self.refuse("P014", f"the tag {shown(tag)} is not allowed in a plan", place, "remove it")
        return event.anchor is None and tag is None

    def expects_key(self) -> bool:
        return bool(self.open) and self.open[-1].node.keys is not None and self.open[-1].key is None

    def add_key(self, event: Any, place: Place) -> None:
        self.count(place)
        top, key = self.open[-1], str(event.value)
        if key == "<<" and _plain(event):
            self.refuse("P010", "merge keys are not allowed in a plan", place, "write the keys again")
            top.key = _SKIPPED
            return
        first = top.node.key_places.setdefault(key, place)
        top.key = key
        if first is not place:
            where = f"line {first.line}, column {first.column}"
            message = f"the key {shown(key)!r} stands twice; it is also at {where}"
            self.refuse("P013", message, place, "keep one of them")

    def add(self, node: Node) -> None:
        self.count(node.place)
        if not self.open:
            if self.root is None:
                self.root = node
            return
        top = self.open[-1]
        if top.node.items is not None:
            top.node.items.append(node)
        elif top.node.keys is not None and top.key is not None:
            if top.key != _SKIPPED:
                top.node.keys.setdefault(top.key, node)
            top.key = None

    def count(self, place: Place) -> None:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            self.refuse("P012", f"more than {NODES_MAX} values", place, "split the plan")
            self.stop()

    def scalar(self, event: Any, place: Place) -> Any:
        text = str(event.value)
        if _SECRET.search(text):
            hint = "name the database by OSC_DATABASE_URL, a secret by what knows it"
            self.refuse("V151", "a plan must not carry a password: it is reviewed, stored and shown", place, hint)
            return BROKEN
        if not _plain(event):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text):
            return self.number(text, place)
        line = self.lines[event.end_mark.line] if event.end_mark.line < len(self.lines) else ""
        after = line[event.end_mark.column :]
        return CutText(text) if re.match(r"[ \t]+#", after) else text

    def number(self, text: str, place: Place) -> Any:
        number = read_number(text) if len(text) <= NUMBER_LENGTH_MAX else None
        if number is not None:
            return number
        if _LEADING_ZERO.match(text) and len(text) <= NUMBER_LENGTH_MAX:
            hint = f'write "{text}" if it is text, else leave out the zero in front'
            self.refuse("P017", f"quote this string: YAML reads {text} as a number", place, hint)
        else:
            self.refuse(
                "P018",
                f"the number {shown(text)} is not finite or absurdly long",
                place,
                "quote it if it is text",
            )
        return BROKEN


# An address with a password in it, or libpq's keywords with one. A comparison of a column named password is neither.
_SECRET = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://[^\s/@:'\"]{0,200}:[^\s/@'\"]+@"
    r"|\b(?:host|hostaddr|dbname|port|service)=\S[^\n]*\bpassword=\S"
    r"|\bpassword=\S[^\n]*\s(?:host|hostaddr|dbname|port|service)=\S",
    re.IGNORECASE,
)


# The core schema of YAML 1.2 (section 10.3.2): `on`, `no`, `12:30`, `1_000` and dates are strings.
_WORDS: dict[str, Any] = dict.fromkeys(("", "~", "null", "Null", "NULL"), NOTHING)
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_NUMBER = re.compile(
    r"[-+]?(?:[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")


def read_number(text: str) -> WrittenInt | WrittenFloat | None:
    """Return the number that ``text`` writes; ``None`` if it is infinite, no number, or has a 0 in front."""
    if _LEADING_ZERO.match(text) or "n" in text.lower():
        return None
    if re.fullmatch(r"[-+]?[0-9]+|[-+]?0[ox].*", text):
        whole = WrittenInt(int(text, 0))
        whole.text = str(int(whole))
        return whole
    number = WrittenFloat(text)
    number.text = text
    return number if abs(number) != float("inf") else None


def _plain(event: Any) -> bool:
    return event.style in (None, "")
