"""More than 300 ways to be wrong: each is refused at its place, in words, and queues nothing.

The cases stand in tests/malformed: configs, overrides and command lines. All go through the real
main functions in this process, a few through real processes.
"""

import contextlib
import io
import json
import re
import shlex
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.desk import Answer, Desk, fail
from support.runs import claim
from support.servers import ON_ONE_SERVER, TestServer

from publisher import __main__ as publisher_cli
from publisher import queue_cli
from publisher.client import Client
from schemas.errors import ConfigError, NotFound, TrainqError, UsageError
from schemas.run import State
from schemas.settings import Settings

pytestmark = ON_ONE_SERVER

CASES = Path(__file__).parent / "malformed"
MODEL = "model: {name: resnet18}\n"
MAINS: dict[str, Callable[[], None]] = {"publisher": publisher_cli.main, "queue": queue_cli.main}
LIMIT_S = 10.0  # of processor time: what grows out of bounds needs far more


@dataclass(frozen=True)
class Config:
    """A file, where its mistake is, and a word of what is said of it."""

    word: str
    text: str
    line: int
    column: int
    width: int  # of the caret; 0: not asserted

    def __str__(self) -> str:
        return re.sub(r"[^\w.:,-]+", "_", self.text.removeprefix(MODEL))[:50]


def config_of(block: str) -> Config:
    head, _, body = block.partition("\n")
    if head.startswith("\\=="):
        body = body.encode().decode("unicode_escape").encode("latin-1").decode()
        text = body
    else:
        text = (MODEL if head.startswith("===") else "") + body.removesuffix("\n") + "\n"
    begin, end = text.index("«"), text.index("»")
    line, column = text.count("\n", 0, begin) + 1, begin - text.rfind("\n", 0, begin)
    plain = text.replace("«", "").replace("»", "")
    return Config(head[4:], plain, line, column, end - begin - 1)


def rows(name: str) -> list[list[str]]:
    """The cases of a file whose rows are divided by ` | `, without what stands above them."""
    _, _, below = (CASES / name).read_text().partition("\n\n")
    return [row.split(" | ") for row in below.splitlines()]


BLOCKS = re.split(r"\n(?=(?:===|!==|\\==) )", (CASES / "configs.txt").read_text())[1:]
CONFIGS = [config_of(block) for block in BLOCKS]
OVERRIDES = [(override, word) for override, word in rows("overrides.txt")]
LINES = [(int(code), line, word) for code, line, word in rows("lines.txt")]


class Corpus:
    """A desk whose queue has a run that waits, one that failed, and a batch."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.ended = desk.submit("seed=1")
        fail(desk.door, claim(desk.door))
        self.run = desk.submit("seed=2")
        desk.publisher("submit", str(desk.config), "--seeds", "2", "--name", "pair", "--again")
        self.batch = desk.door.batches()[0].card.id
        (desk.folder / "bad.yaml").write_text(MODEL + "optim: {lr: fast}\n")
        self.client = Client(Settings.read(desk.env))
        self.before = self.queued()

    def queued(self) -> dict[State, int]:
        return self.desk.door.counts()

    def type(self, *words: str) -> Answer:
        """The command's own main, with the words as the shell would give them."""
        out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
        code: Any = 0
        argv, sys.argv = sys.argv, [*words]
        stdin, sys.stdin = sys.stdin, io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                MAINS[words[0]]()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv, sys.stdin = argv, stdin
        said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
        return Answer(code or 0, *said)

    def refuses(self, code: int, word: str, *words: str) -> Answer:
        """The answer, once it is what every refusal must be."""
        began = time.process_time()
        answer = self.type(*words)
        assert time.process_time() - began < LIMIT_S
        assert answer.code == code, answer
        assert word in answer.err, answer.err
        assert "Traceback" not in answer.err and "\x1b" not in answer.err
        assert "hunter2" not in answer.err and "xoxb-1" not in answer.err
        assert self.queued() == self.before
        return answer


@pytest.fixture(scope="module")
def whole(shared_server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with shared_server.client() as connection:
        connection.flushall()
    desk = Desk(shared_server, tmp_path_factory.mktemp("corpus"))
    yield Corpus(desk)
    desk.close()


@pytest.fixture
def corpus(whole: Corpus, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.chdir(whole.desk.folder)
    for name, value in whole.desk.env.items():
        monkeypatch.setenv(name, value)
    whole.before = whole.queued()
    return whole


def test_no_case_is_there_twice_and_there_are_enough(whole: Corpus) -> None:
    assert sum(whole.before.values()) == 4  # what a refusal must leave as it is
    texts = [case.text for case in CONFIGS]
    texts += [override for override, _ in OVERRIDES]
    texts += [line for _, line, _ in LINES]
    assert [text for text, times in Counter(texts).items() if times > 1] == []
    assert len(texts) >= 300 and all(word for _, _, word in LINES)
    assert sum(bool(OF_FILES.search(case.word + case.text)) for case in CONFIGS) < 30


@pytest.fixture(scope="module")
def validated(whole: Corpus) -> dict[str, dict[str, Any]]:
    """What one `validate` says of all the files: its only problem, by file."""
    files = [f"{number}.yaml" for number in range(len(CONFIGS))]
    for file, case in zip(files, CONFIGS, strict=True):
        (whole.desk.folder / file).write_bytes(case.text.encode())
    with contextlib.chdir(whole.desk.folder):
        answer = whole.type("publisher", "validate", "--json", *files)
    assert answer.code == 2 and not json.loads(answer.out)["ok"]
    told = {row["file"]: row["problems"] for row in json.loads(answer.out)["files"]}
    assert {len(problems) for problems in told.values()} == {1}
    return {file: problems[0] for file, problems in told.items()}


@pytest.mark.parametrize("number", range(len(CONFIGS)), ids=lambda n: f"{n}-{CONFIGS[n]}")
def test_a_config_is_refused_at_its_place(
    corpus: Corpus, validated: dict[str, dict[str, Any]], number: int
) -> None:
    case, file = CONFIGS[number], f"{number}.yaml"
    problem = validated[file]
    assert (problem["line"], problem["column"]) == (case.line, case.column)
    assert case.width in (0, problem["width"]) and case.word in problem["message"] + problem["help"]
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        corpus.client.submit(file)
    assert time.process_time() - began < LIMIT_S
    assert str(caught.value).startswith(f"{file}:{case.line}:{case.column}: {problem['message']}")
    assert corpus.queued() == corpus.before


@pytest.mark.parametrize("number", range(len(CONFIGS)), ids=lambda n: f"{n}-{CONFIGS[n]}")
def test_submit_and_validate_say_the_same_of_a_file(
    corpus: Corpus, validated: dict[str, dict[str, Any]], number: int
) -> None:
    case, file = CONFIGS[number], f"{number}.yaml"
    submitted = corpus.refuses(2, case.word, "publisher", "submit", file)
    assert f"--> {file}:{case.line}:{case.column}" in submitted.err and submitted.out == ""
    assert corpus.refuses(2, case.word, "publisher", "validate", file) == submitted
    with pytest.raises(ConfigError) as caught:
        corpus.client.submit(file)
    assert "\n".join(caught.value.lines()) + "\n" == submitted.err


# What is no mistake of a part but of a file, and is another one in a sheet of several runs.
OF_FILES = re.compile("sweep|file is empty|not a |may follow|document|YAML 1.2|nested|tab")


@pytest.mark.parametrize("number", range(len(CONFIGS)), ids=lambda n: f"{n}-{CONFIGS[n]}")
def test_a_config_is_refused_in_the_sheet_of_an_edit(
    corpus: Corpus, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`retry` takes no file: what it can be given wrongly are overrides, below."""
    case, sheet = CONFIGS[number], corpus.desk.folder / "sheet.yaml"
    monkeypatch.setattr(tempfile, "tempdir", str(corpus.desk.folder))
    monkeypatch.setenv("VISUAL", f"cp {sheet}")
    head = f"{corpus.run}:\n  config:\n"
    sheet.write_text(head + textwrap.indent(case.text, "    "))
    there = not OF_FILES.search(case.word + case.text)
    word = case.word if there else "runs.yaml:"
    answer = corpus.refuses(2, word, "publisher", "edit", corpus.run, "--yes")
    assert not there or re.search(rf"runs.yaml:{case.line + 2}:{case.column + 4}\b", answer.err)
    assert answer.out == "" and "nothing was changed" in answer.err


@pytest.mark.parametrize("number", range(len(OVERRIDES)), ids=lambda n: OVERRIDES[n][0][:40])
def test_an_override_is_refused_by_every_way_in(corpus: Corpus, number: int) -> None:
    override, word = OVERRIDES[number]
    files = [("submit", "good.yaml"), ("validate", "good.yaml")]
    for way in (*files, ("retry", corpus.ended), ("edit", corpus.run)):
        answer = corpus.refuses(2, word, "publisher", *way, override)
        assert answer.out == "" and "--> override" in answer.err
    with pytest.raises(ConfigError) as caught:
        corpus.client.submit("good.yaml", override)
    assert word in "\n".join(caught.value.lines()) and corpus.queued() == corpus.before


@pytest.mark.parametrize(("code", "line", "word"), LINES, ids=[line for _, line, _ in LINES])
def test_a_line_that_cannot_be_meant_is_refused(
    corpus: Corpus, code: int, line: str, word: str
) -> None:
    names = {"RUN": corpus.run, "ENDED": corpus.ended, "BATCH": corpus.batch}
    words = [
        re.sub(r"\b(RUN|ENDED|BATCH)\b", lambda found: names[found[0]], word)
        for word in shlex.split(line.replace("\\x1b", "\x1b").replace("\\xff", "\udcff"))
    ]
    answer = corpus.refuses(code, word, *words)
    assert answer.out == "" and len(answer.err.splitlines()) < 40
    assert not (corpus.desk.folder / "nowhere").exists()


CALLS: list[tuple[str, type[TrainqError], str, Callable[[Corpus], object]]] = [
    ("a number", UsageError, "a int is no config", lambda c: c.client.submit(3)),  # type: ignore[arg-type]
    ("nothing", UsageError, "a NoneType is no config", lambda c: c.client.submit(None)),  # type: ignore[arg-type]
    ("a list", UsageError, "a list is no config", lambda c: c.client.submit(["a"])),  # type: ignore[arg-type]
    ("no file", ConfigError, "there is no such file", lambda c: c.client.submit("none.yaml")),
    ("no name", ConfigError, "no file can be called so", lambda c: c.client.submit("\x00")),
    ("half a character", UsageError, "is no text", lambda c: c.client.run("\ud800")),
    ("a folder", ConfigError, "this is a folder", lambda c: c.client.submit(Path())),
    ("empty", ConfigError, "model is missing", lambda c: c.client.submit({})),
    ("a wrong key", ConfigError, "unknown key 'lr'", lambda c: c.client.submit("good.yaml", lr=1)),
    (
        "a wrong section",
        ConfigError,
        "unknown key",
        lambda c: c.client.submit("good.yaml", optm={"lr": 1}),
    ),
    (
        "a wrong value",
        ConfigError,
        "must be a number",
        lambda c: c.client.submit("good.yaml", optim__lr="x"),
    ),
    (
        "no number",
        ConfigError,
        "must be a number",
        lambda c: c.client.submit("good.yaml", optim={"lr": float("nan")}),
    ),
    (
        "an object",
        UsageError,
        "cannot be written",
        lambda c: c.client.submit("good.yaml", seed=object()),
    ),
    (
        "a dict of objects",
        UsageError,
        "cannot be written",
        lambda c: c.client.submit({"model": object()}),
    ),
    ("no seeds", UsageError, "seeds=-1", lambda c: c.client.submit("good.yaml", seeds=-1)),
    ("half a fold", UsageError, "folds=2.5", lambda c: c.client.submit("good.yaml", folds=2.5)),  # type: ignore[arg-type]
    ("true GPUs", UsageError, "gpus=True", lambda c: c.client.submit("good.yaml", gpus=True)),
    ("no GPU", UsageError, "gpus=0", lambda c: c.client.submit("good.yaml", gpus=0)),
    (
        "too urgent",
        UsageError,
        "priority=2000",
        lambda c: c.client.submit("good.yaml", priority=2000),
    ),
    (
        "no time",
        UsageError,
        "is no time",
        lambda c: c.client.submit("good.yaml", time_limit="soon"),
    ),
    ("no memory", UsageError, "memory", lambda c: c.client.submit("good.yaml", memory="much")),
    ("nobody", UsageError, "is nobody", lambda c: c.client.submit("good.yaml", notify="all")),
    ("no end", UsageError, "is no end", lambda c: c.client.submit("good.yaml", after=f"{c.run}:x")),
    (
        "no parent",
        NotFound,
        "there is no run",
        lambda c: c.client.submit("good.yaml", after="zzzzzz"),
    ),
    ("no host", UsageError, "is no host", lambda c: c.client.submit("good.yaml", on="a|b")),
    (
        "no axis",
        UsageError,
        "must be a list of values",
        lambda c: c.client.submit("good.yaml", sweep={"seed": 1}),
    ),  # type: ignore[dict-item]
    (
        "an empty axis",
        UsageError,
        "must be a list of values",
        lambda c: c.client.submit("good.yaml", sweep={"seed": []}),
    ),
    (
        "a text as axis",
        UsageError,
        "must be a list of values",
        lambda c: c.client.submit("good.yaml", sweep={"seed": "12"}),
    ),
    (
        "an axis twice",
        ConfigError,
        "set twice",
        lambda c: c.client.submit("good.yaml", sweep={"seed": [1, 2]}, seeds=2),
    ),
    (
        "a bad cell",
        ConfigError,
        "override: optim.lr=fast",
        lambda c: c.client.submit("good.yaml", sweep={"optim.lr": [1.0, "fast"]}),
    ),
    (
        "too many",
        UsageError,
        "100000 runs",
        lambda c: c.client.submit("good.yaml", seeds=1000, folds=100),
    ),
    ("no run", NotFound, "there is no run", lambda c: c.client.run("nonsense")),
    ("no batch", NotFound, "there is no batch", lambda c: c.client.results(batch="nonsense")),
    ("no state", UsageError, "did you mean running?", lambda c: c.client.results(states="runing")),
]


@pytest.mark.parametrize(
    ("error", "word", "call"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS]
)
def test_a_call_that_cannot_be_meant_is_an_exception_of_ours(
    corpus: Corpus, error: type[TrainqError], word: str, call: Callable[[Corpus], object]
) -> None:
    with pytest.raises(error) as caught:
        call(corpus)
    assert word in "\n".join(caught.value.lines()) and len(str(caught.value).splitlines()) == 1
    assert corpus.queued() == corpus.before


REAL = [
    (2, "publisher submit bad.yaml", "--> bad.yaml:2:13"),
    (2, "publisher validate bad.yaml", "--> bad.yaml:2:13"),
    (2, "publisher submit good.yaml optim.rl=1", "did you mean 'optim.lr'?"),
    (2, "publisher preflight bad.yaml", "--> bad.yaml:2:13"),
    (3, "queue show nonsense", "there is no run"),
    (2, "queue compare @last", "nothing to compare"),
]


@pytest.mark.parametrize(("code", "line", "word"), REAL, ids=[line for _, line, _ in REAL])
def test_real_processes_say_the_same(corpus: Corpus, code: int, line: str, word: str) -> None:
    tool, *words = shlex.split(line)
    answer = corpus.desk.run(tool, *words)
    assert (answer.code, answer.out) == (code, "") and word in answer.err
    assert "Traceback" not in answer.err and corpus.queued() == corpus.before
    if words[0] != "preflight":  # which becomes another program
        assert answer == corpus.type(tool, *words)
