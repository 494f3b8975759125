"""Every fault of a plan file has a code, a place and no traceback (bad inputs B01 to B18, B42 to B45)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osc.errors import Finding, InvalidPlan
from osc.plan.files import FILE_BYTES_MAX
from osc.plan.load import load_directory, load_plan, load_text, open_text
from tests.plan.kinds import KINDS, PLAN

if TYPE_CHECKING:
    from osc.plan.model import Plan

NAME = "00001_x.yaml"


def load(text: str, name: str = NAME) -> Plan:
    return load_text(text, name, KINDS)


def faults(text: str, name: str = NAME) -> tuple[Finding, ...]:
    with pytest.raises(InvalidPlan) as refused:
        load(text, name)
    for finding in refused.value.findings:
        assert finding.place is not None
        assert "pydantic" not in finding.line()
        assert len(finding.line()) < 600
    return refused.value.findings


def coded(text: str, name: str = NAME) -> list[str]:
    return [f"{fault.code} {fault.place.line}:{fault.place.column}" for fault in faults(text, name) if fault.place]


def operation(fields: str) -> str:
    return f"osc: 1\noperations:\n  - change_column: {{table: t, column: a, {fields}}}\n"


BAD_FILES = {
    "empty": ("", ["P001 1:1"]),
    "only comments": ("# nothing\n", ["P001 1:1"]),
    "null": ("~\n", ["P001 1:1"]),
    "scalar": ("hello\n", ["P002 1:1"]),
    "list": ("- a\n", ["P002 1:1"]),
    "anchor and alias": (PLAN + "title: &x a\nowner: *x\n", ["P010 4:8", "P010 5:8"]),
    "alias of itself": ("a: &a [*a]\n", ["V102 1:1", "V105 1:1", "P010 1:4", "P010 1:8"]),
    "merge key": (PLAN + "labels:\n  <<: {a: b}\n", ["P010 5:3"]),
    "too deep": ("a: " + "[" * 33, ["P011 1:35"]),
    "much too deep": ("[\n" * 15_000, ["P011 33:1"]),
    "too many values": ("- [a, b, c, d]\n" * 3_000, ["P012 2000:13"]),
    "too long a text": ("a: |\n" + " xxxxxxxxx\n" * 7_000, ["P012 1:4"]),
    "too long a line": ("a: " + "x" * 70_000, ["P012 1:1"]),
    "duplicate key": (PLAN + "title: a\ntitle: b\n", ["P013 5:1"]),
    "tags": (PLAN + "title: !!python/object a\nowner: !include b\n", ["P014 4:8", "P014 5:8"]),
    "two documents": (PLAN + "---\na: b\n", ["P015 4:1"]),
    "tab": (PLAN + "labels:\n\ta: b\n", ["P016 5:1"]),
    "syntax": (PLAN + "title: a: b\n", ["P016 4:9"]),
    "directive": ("%YAML 1.1\n---\n" + PLAN, ["P016 2:1"]),
    "impossible escape": ('a: "\\UFFFFFFFF"\n', ["P016 1:1"]),
    "key that is a list": ("? [a]\n: b\n", ["P016 1:3"]),
    "numbers for strings": (PLAN + "title: 12\nowner: yes\nservice: true\nlabels: {a: 1.5}\n",
                            ["P017 4:8", "P017 6:10", "P017 7:13"]),
    "leading zero": (PLAN + "title: 017\n", ["P017 4:8"]),
    "absurd number": (PLAN + f"title: {'9' * 5000}\nowner: 1e999\nservice: .nan\n",
                      ["P018 4:8", "P018 5:8", "P018 6:10"]),
    "NUL": (PLAN + "title: a\0b\n", ["P019 4:9"]),
    "escaped NUL": (PLAN + 'title: "a\\0b"\n', ["P019 4:8"]),
    "bidi override": (PLAN + "# \u202e\n", ["P019 4:3"]),
    "lone surrogate": (PLAN + 'title: "\\ud800"\n', ["P019 4:8"]),
    "nothing written": (PLAN + "title:\nbackfill:\n", ["V106 4:1", "V106 5:1"]),
    "list for a mapping": (PLAN + "switch: []\nlabels: [a]\n", ["V106 4:9", "V106 5:9"]),
    "mapping for a list": ("osc: 1\noperations: {a: b}\n", ["V106 2:13"]),
    "no operations": ("osc: 1\noperations: []\n", ["V108 2:13"]),
    "missing": ("{}\n", ["V102 1:1", "V105 1:1"]),
    "other format": (PLAN.replace("osc: 1", "osc: 2"), ["V102 1:6"]),
    "true is not 1": (PLAN.replace("osc: 1", "osc: true"), ["V102 1:6"]),
    "hooks": (PLAN + "switch: {hooks: []}\n", ["V101 4:10"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_code_and_place(text: str, expected: list[str]) -> None:
    assert sorted(coded(text)) == sorted(expected)


BAD_OPERATIONS = {
    "unknown kind": ("- change_colum: {}", "V101", "change_column"),
    "unknown key": ("- add_column: {tabel: t, table: t, column: a, type: b}", "V101", "did you mean 'table'"),
    "missing key": ("- add_column: {table: t, column: a}", "V105", "'type'"),
    "several keys": ("- add_column: {}\n    create_index: {}", "V104", "begin each operation with its own '-'"),
    "keys not indented": ("- add_column:\n    table: t", "V104", "indent"),
    "no key": ("- {}", "V104", "empty"),
    "only the kind": ("- add_column", "V104", "add_column:"),
    "nothing below": ("- add_column:", "V106", "mapping"),
    "number for a name": ("- add_column: {table: t, column: 1, type: b}", "P017", "quote"),
    "text for a boolean": ("- create_index: {table: t, name: i, keys: [a], unique: 'on'}", "V106", "true or false"),
    "wrong form of an entry": ("- create_index: {table: t, name: i, keys: [[a]]}", "V106", "text or a mapping"),
    "wrong key in an entry": ("- create_index: {table: t, name: i, keys: [{colum: a}]}", "V101", "'column'"),
    "wrong word": ("- create_index: {table: t, name: i, keys: [{column: a, order: up}]}", "V107", "'asc' or 'desc'"),
    "three-part table": ("- add_column: {table: a.b.c, column: a, type: b}", "V114", "parts"),
    "long table": (f"- add_column: {{table: {'x' * 64}, column: a, type: b}}", "V112", "63 bytes"),
}


@pytest.mark.parametrize(("entry", "code", "words"), BAD_OPERATIONS.values(), ids=BAD_OPERATIONS)
def test_a_bad_operation_is_told_in_plain_words(entry: str, code: str, words: str) -> None:
    (fault,) = faults(f"osc: 1\noperations:\n  {entry}\n")
    assert fault.code == code
    assert words in fault.line()
    assert fault.path[:2] == ("operations", 0)


BAD_SQL = {
    "second statement": ("up: 'a; drop table t'", "V120"),
    "closes our bracket": ("up: '1); drop table t; --'", "V121"),
    "open comment": ("up: a /* b", "V121"),
    "two expressions": ("up: 'a, b'", "V121"),
    "empty": ("up: ''", "V121"),
    "below sql": ("default: {sql: 'a;b'}", "V120"),
    "neither word nor text": ("down: 5", "P017"),
}  # fmt: skip


@pytest.mark.parametrize(("field", "code"), BAD_SQL.values(), ids=BAD_SQL)
def test_sql_is_checked_for_form(field: str, code: str | None) -> None:
    if code is None:
        assert load(operation(field)).operations
    else:
        assert [fault.code for fault in faults(operation(field))] == [code]


def test_sql_cut_by_a_comment_is_refused_where_it_is_cut() -> None:
    text = "osc: 1\noperations:\n  - change_column:\n      table: t\n      column: a\n      up: doc #> '{a}'\n"
    (fault,) = faults(text)
    assert (fault.code, fault.place.line if fault.place else 0) == ("P020", 6)
    assert load(text.replace("doc #> '{a}'", '''"doc #> '{a}'"''')).operations
    assert load(text.replace("up: doc", "up: |\n        doc")).operations
    assert load(text.replace("column: a\n      up: doc #>", "column: a # why\n      up: doc #>".replace(" #>", "#>")))


PHASES = {
    "batch_target: 0s": "V141", "batch_target: 45": "V141", "batch_target: '5'": "V141", "batch_target: 3s": "V141",
    "batch_target: 1 fortnight": "V141", "batch_target: -1s": "V141", "batch_target: 1s1d": "V141",
    "parallel: 0": "V140", "parallel: -1": "V140", "parallel: 1e12": "V140", "parallel: '4'": "V140",
    "parallel: 1.5": "V140", "parallel: true": "V140", "parallel: many": "V140", "waves: 65": "V140",
    "walk: sideways": "V107", "triggers: ask": "V107",
    "speed: 0": "V142", "speed: 1.5": "V142", "speed: -1": "V142", "speed: 0%": "V142", "speed: 101%": "V142",
    "speed: .nan": "P018", "speed: .inf": "P018", "speed: true": "V142",
    "max_replica_lag: -1s": "V141", "max_replica_lag: .inf": "P018", "max_replica_lag: 2d": "V141",
    "max_slot_wal: 0MB": "V142", "max_slot_wal: 5": "V142", "max_slot_wal: 1PB": "V142",
    "max_wal_rate: 20MB": "V142", "max_active: 0": "V142", "max_active: 1000000": "V142",
    "max_active: nought": "V142", "max_xid_age: 5": "V142", "max_replica_lag: off": "V141", "max_lock_wait: 2h": "V141",
    "max_dead_share: 0": "V142", "min_free_disk: 1PB": "V142", "replicas: {includes: [a]}": "V101", "replicas: a": "V106",
    "pause_when: [{sql: a, http: b}]": "V104", "pause_when: [{ack: a}]": "V104", "pause_when: {sql: a}": "V106",
    "after: 5": "V141", "after: 400d": "V141", "hours: Mon-Fri 9-17": "V144", "hours: 9": "V144",
    "require: [{ack: a b}]": "V108", "require: [{http: 'http://u:p@h/'}]": "V151",
    "require: [{http: 'file:///etc/passwd'}]": "V150", "require: [ack]": "V104", "require: {ack: a}": "V106",
    "run: [{sql: 'a; b'}]": "V120", "run: [{sql: COMMIT}]": "V122", "run: [{undo: a}]": "V105",
}  # fmt: skip


@pytest.mark.parametrize(("setting", "code"), PHASES.items(), ids=PHASES)
def test_a_bad_setting_is_refused(setting: str, code: str) -> None:
    assert [fault.code for fault in faults(PLAN + f"backfill:\n  {setting}\n")] == [code]


def test_a_range_is_told_in_the_message() -> None:
    (fault,) = faults(PLAN + "backfill: {batch_target: 1h}\n")
    assert "10ms to 2s" in fault.message
    (fault,) = faults(PLAN + "backfill: {parallel: 100}\n")
    assert "1 to 64" in fault.message


def test_all_faults_of_a_file_come_in_one_run_and_in_order() -> None:
    text = PLAN.replace("table", "tabel") + "titel: a\nbackfill: {speed: 2}\nlabels: {a: *x}\n"
    assert coded(text) == ["V105 3:5", "V101 3:21", "V101 4:1", "V142 5:19", "P010 6:13"]


def test_yaml_1_2_leaves_words_times_and_dates_alone() -> None:
    plan = load(PLAN + "title: 2024-01-01\nowner: no\nservice: 12:30\nlabels: {a: on, b: 1_000, c: '~', d: =}\n")
    assert (plan.title, plan.owner, plan.service) == ("2024-01-01", "no", "12:30")
    assert plan.labels == {"a": "on", "b": "1_000", "c": "~", "d": "="}


@pytest.mark.parametrize(
    ("name", "extra", "code"),
    [
        ("00042_a_b.yaml", "", None),
        ("00042_a_b.yml", "id: 00042_a_b\n", None),
        ("-", "id: 00042_a_b\n", None),
        ("-", "", "V103"),
        ("users.yaml", "", "V103"),
        ("00042_A.yaml", "", "V103"),
        ("42_a.yaml", "", "V103"),
        ("00042_a_b.yaml", "id: 00043_a_b\n", "V103"),
        ("00042_a_b.yaml", "id: ../../etc\n", "V103"),
        ("00042_" + "a" * 200 + ".yaml", "", "V103"),
        ("\u0660\u0660\u0660\u0660\u0661_a.yaml", "", "V103"),
    ],
)
def test_the_id_is_the_stem_of_the_file(name: str, extra: str, code: str | None) -> None:
    if code is None:
        assert load(PLAN + extra, name).id == "00042_a_b"
    else:
        assert [fault.code for fault in faults(PLAN + extra, name)] == [code]


def refused_file(path: Path) -> tuple[str, str]:
    with pytest.raises(InvalidPlan) as refused:
        load_plan(path, KINDS)
    (fault,) = refused.value.findings
    return fault.code, fault.message


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    fifo, loop = tmp_path / "00001_fifo.yaml", tmp_path / "00001_loop.yaml"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for path in (fifo, loop, tmp_path, tmp_path / "missing.yaml", Path("/dev/zero"), Path("a\0b")):
        assert refused_file(path)[0] == "P003"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (PLAN.encode("utf-16"), "P016"),
        (PLAN.encode("utf-16-le"), "P016"),
        (PLAN.encode("utf-32"), "P016"),
        (PLAN.encode() + b"title: \xff\n", "P016"),
        (b"#" * (FILE_BYTES_MAX + 1), "P012"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(data)
    assert refused_file(path)[0] == code


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\xef\xbb\xbf" + PLAN.replace("\n", "\r\n").encode())
    assert load_plan(path, KINDS).id == "00001_x"


def test_a_directory_is_read_in_the_order_of_ids(tmp_path: Path) -> None:
    for stem in ("00002_b", "00010_c", "00001_a"):
        (tmp_path / f"{stem}.yaml").write_text(PLAN)
    (tmp_path / "README.md").write_text("no plan")
    assert [plan.id for plan in load_directory(tmp_path, KINDS)] == ["00001_a", "00002_b", "00010_c"]


def test_a_directory_tells_the_faults_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "00001_a.yaml").write_text("- x")
    (tmp_path / "00002_b.yaml").write_text(PLAN)
    (tmp_path / "00002_b.yml").write_text(PLAN)
    (tmp_path / "oops.yaml").write_text(PLAN)
    with pytest.raises(InvalidPlan) as refused:
        load_directory(tmp_path, KINDS)
    assert [fault.code for fault in refused.value.findings] == ["P002", "V103", "V103"]


def test_a_directory_without_plans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPlan, match="no plan"):
        load_directory(tmp_path, KINDS)


def test_a_finding_on_a_path_gets_its_place() -> None:
    file = open_text(PLAN, NAME, KINDS)
    found = file.placed([Finding("C201", "x", path=("operations", 0, "change_column", "column")),
                         Finding("V160", "y", path=("contract",))])  # fmt: skip
    assert [(str(one.place), one.code) for one in found] == [
        ("00001_x.yaml:1:1", "V160"),
        ("00001_x.yaml:3:35", "C201"),
    ]


def test_a_flood_of_faults_is_cut() -> None:
    with pytest.raises(InvalidPlan, match=r"100 faults and \d+ more") as refused:
        load(PLAN + "".join(f"k{number}: 1\n" for number in range(3_000)))
    assert len(refused.value.findings) == 100


HOSTILE = {
    "brackets": "[" * FILE_BYTES_MAX,
    "dashes": "- " * (FILE_BYTES_MAX // 2),
    "comments": "#\n" * (FILE_BYTES_MAX // 2),
    "tags": ("- !" + "a" * 65_000 + "\n") * 4,
    "anchors": ("- &" + "a" * 65_000 + "\n") * 4,
    "many words": "a: " + ("x " * 16 + "\n ") * (FILE_BYTES_MAX // 34),
    "quoted words": 'a: "' + ("x " * 16 + "\n ") * (FILE_BYTES_MAX // 34),
    "bombs": "a: &a [x]\n" + "".join(f"k{n}: &k{n} [*a, *a, *a]\n" for n in range(5_000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_two_seconds(text: str) -> None:
    began = time.process_time()
    assert faults(text)
    assert time.process_time() - began < 2


FIELDS = ["table", "column", "up", "default", "sql", "require", "ack", "run", "keys", "change_column", "x"]
YAMLISH = st.text(st.sampled_from(list("abo:-[]{}?&*!|>#%@'\"\\ \t\n\r~0189.,<=_\u202e\0")), max_size=60)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), below, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(["osc", "id", "title", "labels", "operations", "backfill", "switch", "contract", "notify", "x"])


def loads_or_refuses(text: str) -> None:
    found: tuple[Finding, ...] | None = None
    try:
        load(text)
    except InvalidPlan as refused:
        found = refused.findings
    assert found is None or (found and all(fault.place is not None for fault in found))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200) | YAMLISH | YAMLISH.map(lambda text: PLAN + text))
def test_any_text_loads_or_is_refused(text: str) -> None:
    loads_or_refuses(text)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_any_tree_loads_or_is_refused(tree: dict[str, object]) -> None:
    loads_or_refuses("".join(f"{key}: {flow(value)}\n" for key, value in ({"osc": 1} | tree).items()))


def flow(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {flow(below)}" for key, below in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
        case str():
            return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
        case None:
            return "null"
    return str(value).lower()
