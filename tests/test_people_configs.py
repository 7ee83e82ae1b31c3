"""init and diff: configs that people begin with, and what makes two of them different."""

import json
import re

import pytest
from support.desk import Desk, finish
from support.golden import golden, screen
from support.runs import claim
from support.servers import ON_ONE_SERVER

from publisher.desk.dotted import flat
from publisher.drafts.draft import draft
from publisher.drafts.templates import TEMPLATES
from publisher.results.difference import between, changes, difference_lines, difference_record
from publisher.results.sides import Side, of_run
from schemas.config import TrainConfig
from schemas.nearest import known_keys, sections
from schemas.said import said
from schemas.source import read, read_cells
from schemas.sweep import Spread

# sections that a config has not, unless it names them
OPTIONAL = tuple(
    ".".join((*above, name))
    for above, section in sections().items()
    for spec in section.kinds.values()
    for name, field in spec.model_fields.items()
    if (*above, name) in sections() and field.default is None
) or ("nothing",)
# ---- init ----------------------------------------------------------------------------------------


@ON_ONE_SERVER
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_a_valid_config_that_says_what_it_means(
    desk: Desk, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    answer = desk.publisher("init", "--template", template)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith(f"wrote {template}.yaml\n  {TEMPLATES[template].about}\n")
    assert f"publisher submit {template}.yaml" in answer.err
    first = (desk.folder / f"{template}.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=config.schema.json"
    assert json.loads((desk.folder / "config.schema.json").read_text())["title"] == "TrainConfig"
    checked = desk.publisher("validate", f"{template}.yaml")
    assert checked.code == 0, checked.err


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_template_only_offers_is_valid_too(template: str) -> None:
    values = TEMPLATES[template].values
    text = draft(values, ["a sentence"])
    names = "|".join({key.rpartition(".")[2] for key in known_keys()})
    words = re.sub(rf"^( *)# ((?:  )*(?:{names}):(?: |$))", r"\1\2", text, flags=re.MULTILINE)
    assert words.count("\n# ") < text.count("\n# ") - 10
    offered = read_cells(words, "offered", (), Spread())
    plain = read_cells(text, "plain", (), Spread())
    for one, other in zip(offered, plain, strict=True):
        found = changes(flat(one.config.canonical()), flat(other.config.canonical()))
        assert not [each.key for each in found if not each.key.startswith(OPTIONAL)]
    assert max(map(len, text.splitlines())) <= 100


@ON_ONE_SERVER
def test_init_overwrites_nothing_unless_told_to(desk: Desk) -> None:
    answer = desk.publisher("init", str(desk.config))
    assert answer.code == 2 and answer.err.startswith(f"error: {desk.config} is there already")
    assert "resnet10t" in desk.config.read_text()
    assert desk.publisher("init", str(desk.config), "--force").code == 0
    assert "convnext_tiny" in desk.config.read_text()


RICH = """\
name: rich
model: {name: resnet10t}
data: {split: {kind: kfold, folds: 3}, img_size: 64}
loss: {kind: sum, parts: [{loss: {kind: cross_entropy}}, {loss: {kind: f1}, weight: 0.5}]}
train: {epochs: 3, average: {kind: ema}}
"""


@ON_ONE_SERVER
@pytest.mark.parametrize("words", [[], ["--folds", "3"]], ids=["run", "folds"])
def test_a_run_becomes_a_config_that_says_the_same_and_nothing_more(
    desk: Desk, words: list[str]
) -> None:
    (desk.folder / "rich.yaml").write_text(RICH)
    sent = desk.publisher("submit", str(desk.folder / "rich.yaml"), "optim.lr=3e-4", *words)
    assert sent.code == 0, sent.err
    newest = desk.door.get(desk.door.resolve("@last"))
    file = desk.folder / "like.yaml"
    answer = desk.publisher("init", str(file), "--from", "@last")
    assert answer.code == 0, answer.err
    assert f"The config of {newest.id} of ana, " in answer.err
    again = f"publisher submit {file}" + (" --folds 3" if words else "")
    assert f"Queue it: {again}\n" in answer.err
    text = file.read_text()
    assert "lr: 0.0003" in text and "batch_size" not in text
    known = desk.publisher(*again.split()[1:])
    assert known.code == 2 and "nothing was queued" in known.err, known.out
    assert "leave one out" in desk.publisher("init", "--from", "@last", "--template", "mask").err
    assert desk.publisher("init", "--from", "nosuch").code == 3


@ON_ONE_SERVER
def test_init_says_what_cannot_be_written(desk: Desk) -> None:
    assert "no template 'skecth'" in desk.publisher("init", "--template", "skecth").err
    assert desk.publisher("init", str(desk.folder)).err.startswith(f"error: {desk.folder} is a fol")
    nowhere = desk.publisher("init", str(desk.folder / "no" / "a.yaml"))
    assert nowhere.code == 2 and "there is no folder" in nowhere.err


@ON_ONE_SERVER
def test_a_schema_of_another_version_stays_and_is_told(desk: Desk) -> None:
    (desk.folder / "config.schema.json").write_text("{}")
    answer = desk.publisher("init", str(desk.folder / "new.yaml"))
    assert "config.schema.json is of another version" in answer.err
    assert (desk.folder / "config.schema.json").read_text() == "{}"


def test_what_a_config_says_makes_the_same_config_again() -> None:
    for template in TEMPLATES.values():
        cells = read_cells(draft(template.values, [], offers=False), "a", (), Spread())
        for each in cells:
            assert TrainConfig.model_validate(said(each.config)) == each.config
    changed = read("model: {name: resnet18}\naugment: {kind: none}\n", "b").config
    assert said(changed) == {"model": {"name": "resnet18"}, "augment": {"kind": "none"}}


# ---- diff ----------------------------------------------------------------------------------------

A = Side(
    label="7f3k2q",
    about="7f3k2q resnet18-lr1e-3: finished",
    config={"model.name": "resnet18", "optim.lr": 1e-3, "augment.auto_augment": "", "seed": 42},
    code={"trainer": "4f1be2c77a10", "commit": "0c1d2e3f4a5b", "uncommitted": "99aa00bb11cc"},
    environment={"worker": "v100:0", "device": "Tesla V100-PCIE-32GB (sm_70)", "torch": "2.10.0"},
    metrics={"best accuracy": 0.9121, "best epoch": 14, "loss": 0.4101, "GPU hours": 1.25},
)
B = Side(
    label="7f3k2r",
    about="7f3k2r resnet18-lr3e-4: finished",
    config={
        "model.name": "resnet18",
        "optim.lr": 3e-4,
        "augment.auto_augment": "rand-m9-mstd0.5-inc1-p0.7-tweights-mmax12-n3",
        "seed": 42,
        "train.deterministic": True,
    },
    code={"trainer": "9d0077ab1e42", "commit": "5b4a3f2e1d0c"},
    environment={"worker": "a100:1", "device": "NVIDIA A100-SXM4-40GB (sm_80)", "torch": "2.10.0"},
    metrics={"best accuracy": 0.9237, "best epoch": 12, "loss": 0.3899, "GPU hours": 0.75},
)


@pytest.mark.parametrize("width", [80, 120])
def test_a_difference_on_a_screen(width: int) -> None:
    shown = screen(difference_lines(between(A, B, ["trainer/loop.py"]), width))
    assert shown == golden(f"diff_{width}")
    assert max(map(len, shown.splitlines())) <= width


def test_a_difference_as_json_has_every_part() -> None:
    record = difference_record(between(A, B))
    assert {k: v for k, v in record["config"][0].items() if k != "delta"} == {
        "key": "optim.lr",
        "a": 1e-3,
        "b": 3e-4,
    }
    assert record["metrics"][0]["delta"] == pytest.approx(0.0116)


@ON_ONE_SERVER
def test_two_runs_a_run_and_a_file_and_two_files_can_be_compared(desk: Desk) -> None:
    one, other = desk.submit(), desk.submit("optim.lr=3e-4")
    finish(desk.door, claim(desk.door), 0.91)
    finish(desk.door, claim(desk.door), 0.93)
    runs = json.loads(desk.publisher("diff", one, other, "--json").out)
    assert [(each["key"], each["b"]) for each in runs["config"]] == [("optim.lr", 3e-4)]
    assert runs["metrics"][0]["delta"] == pytest.approx(0.02)
    shown = desk.publisher("diff", other, str(desk.config))
    assert shown.code == 0 and "known of" in shown.out and "optim.lr" in shown.out
    same = desk.run("publisher", "diff", "good.yaml", "good.yaml", REDIS_URL="redis://nowhere.x:1")
    assert same.code == 0 and "config   the same" in same.out


@ON_ONE_SERVER
def test_a_difference_with_something_that_is_not_there_is_one_line(desk: Desk) -> None:
    assert desk.publisher("diff", "nosuch", str(desk.config)).code == 3
    gone = desk.publisher("diff", str(desk.config), "nosuch.yaml")
    assert gone.code == 2 and "there is no such file" in gone.err


@ON_ONE_SERVER
def test_an_environment_is_read_from_the_folder_of_the_attempt(desk: Desk) -> None:
    run_id = desk.submit()
    claimed = claim(desk.door)
    attempt = desk.folder / "runs" / run_id / "attempts" / claimed.token
    attempt.mkdir(parents=True)
    facts = {"device": "Tesla V100 (sm_70)", "versions": {"torch": "2.10.0"}, "code": {}}
    (attempt / "environment.json").write_text(json.dumps(facts))
    other = desk.submit()
    told = desk.publisher(
        "diff", run_id, other, TRAINQ_RUNS=str(desk.folder / "runs"), COLUMNS="80"
    )
    assert "known of" in told.out
    side = of_run(desk.door.get(run_id), facts)
    assert side.environment == {"worker": "v100:0", "gpus": 1, "device": "Tesla V100 (sm_70)"} | {
        "torch": "2.10.0"
    }


@ON_ONE_SERVER
def test_colours_are_for_terminals_and_trainq_passes_everything_on(desk: Desk) -> None:
    words = ("diff", str(desk.config), str(desk.config))
    assert "\x1b[" in desk.publisher(*words, FORCE_COLOR="1").out
    assert "\x1b" not in desk.publisher(*words, FORCE_COLOR="1", NO_COLOR="1").out
    passed = desk.run("trainq", "publisher", *words)
    assert passed.code == 0 and passed.out == desk.publisher(*words).out
