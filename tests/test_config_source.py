"""Files as people write them: what is read, what is refused, and at which place."""

import math
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from schemas.document import plain_value
from schemas.errors import ConfigError
from schemas.source import Loaded, load, read
from schemas.yaml_tree import MAX_VALUES

MODEL = "model: {name: resnet18}\n"


def refusal(text: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(text, "birds.yaml", overrides)
    return caught.value


def messages(text: str, *overrides: str) -> list[str]:
    return [problem.message for problem in refusal(text, *overrides).problems]


def picture(text: str, *overrides: str) -> str:
    return "\n".join(refusal(text, *overrides).lines())


def accepted(text: str) -> Loaded:
    return read(MODEL + text, "birds.yaml")


def test_a_full_error_shows_place_line_caret_and_hint_of_every_mistake() -> None:
    text = """\
        model:
          name: resnet5O
        data: {batch_size: "ten", split: {kind: kfold, fold: 5}}
        optim:
          weigth_decay: 0.05
    """
    assert picture(dedent(text)) == dedent(
        """\
        error: timm has no model 'resnet5O'
          --> birds.yaml:2:9  (model.name)
          2 |   name: resnet5O
            |         ^^^^^^^^
           = help: did you mean 'resnet50' or 'resnet51q' or 'resnet50t'?

        error: must be a whole number, got 'ten'
          --> birds.yaml:3:20  (data.batch_size)
          3 | data: {batch_size: "ten", split: {kind: kfold, fold: 5}}
            |                    ^^^^^

        error: 5 folds are counted 0 to 4, got 5
          --> birds.yaml:3:54  (data.split.fold)
          3 | data: {batch_size: "ten", split: {kind: kfold, fold: 5}}
            |                                                      ^

        error: unknown key 'weigth_decay'
          --> birds.yaml:5:3  (optim.weigth_decay)
          5 |   weigth_decay: 0.05
            |   ^^^^^^^^^^^^
           = help: did you mean 'weight_decay'?

        4 errors in birds.yaml; nothing was queued."""
    )


def test_duplicate_keys_show_both_lines() -> None:
    assert picture(MODEL + "seed: 1\nseed: 2\n") == dedent(
        """\
        error: the same key twice
          --> birds.yaml:3:1  (seed)
          3 | seed: 2
            | ^^^^
           = help: 'seed' is already on line 2; keep one of them

        1 error in birds.yaml; nothing was queued."""
    )


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 0.001),
        ("1E-3", 0.001),
        (".5", 0.5),
        (".5e3", 500.0),
        ("5.", 5.0),
        ("-3", -3),
        ("+7", 7),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("._", "._"),
        ("2020-01-01", "2020-01-01"),
        ("12:30", "12:30"),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(word: str, value: Any) -> None:
    read_as = plain_value(word)
    assert (read_as, type(read_as)) == (value, type(value))


def test_nan_is_a_number_that_no_key_takes() -> None:
    assert math.isnan(plain_value(".nan"))
    assert messages(MODEL + "optim: {lr: .nan}") == ["must be a finite number, got nan"]


def test_quoted_words_stay_text() -> None:
    assert accepted("note: '1e-3'").config.note == "1e-3"


def test_json_with_tabs_is_read_by_the_same_loader(tmp_path: Path) -> None:
    file = tmp_path / "birds.json"
    file.write_text('{\n\t"model": {"name": "resnet18"},\n\t"optim": {"lr": 1e-3}\n}\n')
    assert load(file).config.optim.lr == 0.001


def test_a_tab_in_json_keeps_the_caret_below_its_value() -> None:
    assert '  2 |  "seed": -1\n    |          ^^' in picture('{\n\t"seed": -1\n}')


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("", "the file is empty", 1, 1),
        ("# nothing\n", "the file is empty", 2, 1),
        ("- a\n- b\n", "a config is a set of `key: value` lines, not a list", 1, 1),
        ("resnet18", "a config is a set of `key: value` lines, not a single value", 1, 1),
        ("model:\n\tname: x", "a tab cannot indent YAML", 2, 1),
        ("a: b: c", "': ' is not expected here", 1, 5),
        ("notify: @me", "a value cannot start with '@'", 1, 9),
        ("model: {name: a", "expected ',' or '}' before this", 1, 16),
        ("a: [1, 2", "expected ',' or ']' before this", 1, 9),
        ("a: {b: c}}", "this '}' closes nothing", 1, 10),
        ('a: "b', "the quote that opens here is never closed", 1, 4),
        ("a: ]", "a value is missing before this", 1, 4),
        ("a: - b", "'- ' is not expected here", 1, 4),
        ("a: 1\nb", "expected ':' after this key", 2, 1),
        ("a:\n  b: 1\n c: 2", "the indentation does not fit the lines above", 3, 2),
        ('a: "\\q"', "'\\q' means nothing inside double quotes", 1, 6),
        ("&a", "a config is a set of `key: value` lines, not a single value", 1, 1),
        ("a: |x\n", "not valid YAML: expected chomping or indentation indicators", 1, 5),
        ("a: 1\n---\nb: 2", "a second document begins here", 2, 1),
        ("a: 1\n... x", "nothing may follow the config", 2, 5),
        ("%YAML 1.1\n---\na: 1", "only YAML 1.2 is read", 2, 1),
        ("a: *b", "the anchor '&b' is not complete above this line", 1, 4),
        ("a: &b [*b]", "the anchor '&b' is not complete above this line", 1, 8),
        ("<<: {a: 1}", "'<<' does not merge here", 1, 1),
        ("a: !!python/object:os.system {}", "tags are not read", 1, 4),
        ("? [a]\n: 1", "a key must be a plain word", 1, 3),
        ("a: " + "[" * 30, "nested more than 20 levels deep", 1, 23),
        ("a: \x00", "the character U+0000 may not stand in a config", 1, 4),
        ("a: \x1b[31m", "the character U+001B may not stand in a config", 1, 4),
        ("a: " + "x" * 20_000, "a line is longer than 10000 characters", 1, 10_000),
    ],
)
def test_text_that_is_not_a_config_is_one_error_at_its_place(
    text: str, message: str, line: int, column: int
) -> None:
    (problem,) = refusal(text).problems
    assert problem.message.startswith(message)
    assert (problem.line, problem.column) == (line, column)


def test_an_escape_that_is_no_character_is_an_error_without_a_place() -> None:
    assert messages('a: "\\UFFFFFFFF"')[0].startswith("not valid YAML")


@pytest.mark.parametrize(
    ("text", "message", "key"),
    [
        ("seed: " + "9" * 5000, "this number is too large", "seed"),
        ("seed: 99999999999999999999", "this number is too large", "seed"),
        ('note: "\\e[31m"', "a text may not hold control characters", "note"),
        ('note: "\\uD800"', "a text may not hold control characters", "note"),
        ('"a\\0": 1', "a key may not hold control characters", ""),
        ("notify: #runs", "this key has no value", "notify"),
        ("optim: {betas: [, 1]}", "a value is missing before this", ""),
        ("data:", "this key has no value", "data"),
    ],
)
def test_values_that_no_config_may_hold(text: str, message: str, key: str) -> None:
    (problem,) = refusal(MODEL + text).problems
    assert (problem.message, problem.key) == (message, key)


def test_anchors_and_aliases_repeat_a_value() -> None:
    loaded = accepted("schedule: &same {min_lr: 0}\nname: &n birds\nnote: *n\n")
    assert loaded.config.note == "birds"
    assert "unknown key 'min_lr'" in messages(MODEL + "schedule: &s {min_lr: 0}\nmix: *s")


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    start = time.process_time()
    found = messages("\n".join(["a0: &a0 [x]", *levels]))
    assert found == [f"more than {MAX_VALUES} values"]
    assert time.process_time() - start < 20


@pytest.mark.parametrize("piece", ["[", "{", "a: b\n", "- ", "!a ", "a\n", "# x\n", '"', " \n"])
def test_a_megabyte_of_anything_is_refused_within_seconds(piece: str) -> None:
    start = time.process_time()
    refusal((piece * 1_000_000)[:1_000_000])
    assert time.process_time() - start < 60


def test_a_file_larger_than_a_megabyte_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("# x\n" * 300_000)
    with pytest.raises(ConfigError, match="larger than 1 MB") as caught:
        load(file)
    assert caught.value.problems[0].message == "larger than 1 MB"


def test_a_file_that_is_not_utf_8_says_which_byte(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"model: {name: resnet18}\nnote: caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.lines()[:2] == [
        "error: byte 0xe9 is not UTF-8 text",
        f"  --> {file}:2:10",
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MODEL.replace("\n", "\r\n").encode())
    assert load(file).config.model.name == "resnet18"


def test_a_missing_file_and_a_folder_are_errors_of_the_config(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "this is a folder, not a config file"),
        (tmp_path / ("x" * 300), "the file cannot be read: File name too long"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.problems[0].message == message


def test_origins_name_line_override_or_default() -> None:
    text = MODEL + "optim:\n  lr: 0.1\n  betas: [0.9, 0.95]\n"
    origins = read(text, "birds.yaml", ["train.epochs=3"]).origins
    assert origins["optim.lr"] == "birds.yaml:3"
    assert origins["optim.betas"] == "birds.yaml:4"
    assert origins["train.epochs"] == "override: train.epochs=3"
    assert origins["seed"] == "default"


def test_the_digest_does_not_see_how_a_file_is_written() -> None:
    one = read("seed: 7\nmodel: {name: resnet18}\noptim: {lr: 0.01, eps: 1e-8}\n", "a.yaml")
    other = read('{"optim": {"lr": 1e-2}, "model": {"name": "resnet18"}, "seed": 7}', "b.json")
    assert one.config.digest() == other.config.digest()
    assert one.config.digest() != accepted("seed: 8").config.digest()


@pytest.mark.parametrize(
    "line",
    [
        "wandb: {api_key: abc}",
        "slack_token: abc",
        "password: abc",
        "note: xoxb-123456789-abc",
        "note: hf_abcdefghijklmnopqrstuv",
        "note: 0123456789abcdef0123456789abcdef01234567",
        "note: redis://:hunter2@host:6379",
    ],
)
def test_secrets_are_refused_and_never_repeated(line: str) -> None:
    error = refusal(MODEL + line)
    assert [each.message.rpartition(" ")[2] for each in error.problems] == ["secret"]
    assert "environment" in error.problems[0].help
    secret = line.rpartition(": ")[2].rstrip("}").removeprefix("redis://:").partition("@")[0]
    assert secret not in "\n".join(error.lines())


def test_a_secret_is_not_repeated_by_another_error_on_its_line() -> None:
    assert "hunter2" not in picture("token: [hunter2")
    assert "hunter2" not in picture(MODEL, "wandb.api_key=hunter2")
    assert "hf_abc" not in picture(MODEL + "seed: hf_abcdefghijklmnopqrstuv")
