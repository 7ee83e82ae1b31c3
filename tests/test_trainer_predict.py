"""From finished runs to a submission file: each run its own model, every row in its place."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from support.attendants import FORK
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, tiny, train
from support.waiting import TORCH_S
from typer.testing import CliRunner, Result

from schemas.errors import UsageError
from trainer.answer import finished, views, votes
from trainer.answer.votes import Rule
from trainer.entry.by_hand import app
from trainer.judge import predictions


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, and a test set that is what the first of them validated."""
    folder = tmp_path_factory.mktemp("place")
    data = draw_sketches(folder / "data")
    for name, seed in (("one", 42), ("two", 42)):
        order = order_for(folder / name, data, tiny(seed=seed, optim__lr=1e-3 * len(name)))
        train(order)
    other = order_for(folder / "other", data, tiny(optim__lr=3e-3, data__batch_size=2))
    train(other)
    said = predictions.read(folder_of(order).best / predictions.VALIDATION)
    rows = [f"{number},{name},0" for number, name in enumerate(said.names)]
    text = "\n".join(["ID,image_path,target", *rows])
    (data / "sample_submission.csv").write_text(text + "\n")
    return folder


TEST = (
    "data.test.csv=sample_submission.csv",
    "data.test.images=train",
    "data.test.image=image_path",
    "data.test.answer=target",
)


def predict(place: Path, *words: str, test: tuple[str, ...] = TEST) -> Result:
    given = [str(place / word) if (place / word).exists() else word for word in words]
    given = [*([] if "-o" in given else ["-o", str(place / "submission.csv")]), *given]
    env = {"TRAINQ_CACHE": str(place / "cache")}
    data = ["--data", str(place / "data")]
    return CliRunner().invoke(app, ["predict", *given, *test, *data], env=env)


def table(place: Path) -> np.ndarray:
    with (place / "p.csv").open() as file:
        return np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])


def probabilities(place: Path, *words: str) -> np.ndarray:
    done = predict(place, *words, "--probabilities", str(place / "p.csv"))
    assert done.exit_code == 0, done.stderr
    return table(place)


def test_the_submission_has_the_rows_the_order_and_the_columns_of_the_sample(place: Path) -> None:
    done = predict(place, "one")
    assert (done.exit_code, done.stdout.strip()) == (0, str(place / "submission.csv")), done.stderr
    sample = (place / "data/sample_submission.csv").read_text().splitlines()
    mine = (place / "submission.csv").read_text().splitlines()
    assert mine[0] == sample[0] and len(mine) == len(sample)
    assert [row.rpartition(",")[0] for row in mine] == [row.rpartition(",")[0] for row in sample]
    assert json.loads((place / "submission.csv.json").read_text())["views"] == ["plain"]
    assert not list(place.glob(".submission*"))


def test_a_run_says_of_an_image_what_it_said_when_it_was_trained(place: Path) -> None:
    run = finished.find(place / "one")
    said = predictions.read(run.weights / predictions.VALIDATION)
    np.testing.assert_allclose(probabilities(place, "one"), said.probabilities, atol=1e-5)


def test_runs_that_vote_are_each_their_own_model(place: Path) -> None:
    one, other = probabilities(place, "one"), probabilities(place, "other")
    assert np.abs(one - other).max() > 1e-3
    both = probabilities(place, "one", "other")
    np.testing.assert_allclose(both, (one + other) / 2, atol=2e-6)


def test_more_looks_are_averaged_and_the_plain_one_is_among_them(place: Path) -> None:
    plain, flipped = probabilities(place, "one"), probabilities(place, "one", "--tta", "hflip")
    assert np.abs(plain - flipped).max() > 1e-5
    mirrored = 2 * flipped - plain
    assert (mirrored > -1e-5).all() and np.allclose(mirrored.sum(1), 1, atol=1e-4)
    many = predict(place, "one", "--tta", "hflip,crops,scales")
    assert many.exit_code == 0
    assert len(json.loads((place / "submission.csv.json").read_text())["views"]) == 9


def test_an_interrupted_call_goes_on_in_the_middle_of_a_pass(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.answer import predict as work

    whole, asked = probabilities(place, "one", "other"), []
    made = work.answers_of

    def counted(run, net, images, which, *more):  # type: ignore[no-untyped-def]
        asked.append((run.name, which.tolist()))
        return made(run, net, images, which, *more)

    def broken(run, *more):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(counted(run, *more)):
            if (run.name, number) == ("other", 1):
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(work, "answers_of", broken)
    assert predict(place, "one", "other").exit_code != 0
    assert len(list((place / ".submission.csv.parts").iterdir())) == 2  # a pass, a part of one
    asked.clear()
    monkeypatch.setattr(work, "answers_of", counted)
    parts = place / ".submission.csv.parts"
    shutil.copytree(parts, place / "kept")
    again = probabilities(place, "one", "other")
    assert asked == [("other", [2, 3, 4])] and np.array_equal(whole, again)
    asked.clear()
    (place / "kept").rename(parts)
    for file in parts.iterdir():  # a disk that was full, or worse
        file.write_bytes(file.read_bytes()[: 40 * file.name.startswith("one")])
    again = probabilities(place, "one", "other")
    assert asked == [("one", [0, 1, 2, 3, 4]), ("other", [0, 1, 2, 3, 4])]
    assert np.array_equal(whole, again)


def doomed(words: list[str], cache: str) -> None:
    """A process of its own that is killed in its second batch."""
    from trainer.answer import predict as work
    from trainer.answer import stretches

    made = work.answers_of

    def struck(*what):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(made(*what)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    os.environ["TRAINQ_CACHE"] = cache
    stretches.KEPT_S, work.answers_of = 0.0, struck
    app(["predict", *words])


def test_a_call_that_was_killed_in_a_pass_leaves_only_the_rest_to_the_next(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.answer import predict as work

    out, table = place / "killed.csv", place / "killed-p.csv"
    words = [str(place / "other"), *TEST, "-o", str(out), "--probabilities", str(table)]
    words += ["--data", str(place / "data")]
    monkeypatch.setenv("TRAINQ_CACHE", str(place / "cache"))
    made, asked = work.answers_of, []

    def counted(run, net, images, which, *more):  # type: ignore[no-untyped-def]
        asked.append(which.tolist())
        return made(run, net, images, which, *more)

    monkeypatch.setattr(work, "answers_of", counted)
    assert CliRunner().invoke(app, ["predict", *words]).exit_code == 0
    unbroken = out.read_bytes(), table.read_bytes()
    out.unlink(), table.unlink()
    killed = FORK.Process(target=doomed, args=(words, str(place / "cache")))
    killed.start()
    killed.join(TORCH_S)
    assert killed.exitcode == -signal.SIGKILL and not out.exists()
    assert CliRunner().invoke(app, ["predict", *words]).exit_code == 0
    assert asked == [[0, 1, 2, 3, 4], [4]]  # in batches of two
    assert (out.read_bytes(), table.read_bytes()) == unbroken
    assert not list(place.glob(".killed*"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 3, "nowhere is no run's folder"),
        (["one", "--vote", "loud"], 2, "--vote 'loud' is no way to vote"),
        (["one", "--tta", "hflop"], 2, "--tta 'hflop' is no way to look"),
        ([], 2, "no run was given"),
        (["one", "one"], 2, "the same run is given twice: one, one"),
        (["one", "data.img_size=64"], 2, "data.img_size is as the run was trained"),
        (["one", "-o", "data/sample_submission.csv"], 2, "is the table of the test set"),
        (["one", "--probabilities", "data"], 2, "data is a folder"),
        (["one", "--probabilities", "submission.csv"], 2, "name one file"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(
    place: Path, words: list[str], code: int, said: str
) -> None:
    (place / "submission.csv").touch()
    sample = (place / "data/sample_submission.csv").read_bytes()
    done = predict(place, *words)
    assert done.exit_code == code and said in done.stderr.splitlines()[0]
    assert (place / "data/sample_submission.csv").read_bytes() == sample


def test_two_runs_of_one_name_are_two_runs(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "other", tmp_path / "one", symlinks=True)
    one, other = probabilities(place, "one"), probabilities(place, "other")
    both = probabilities(place, "one", str(tmp_path / "one"))
    np.testing.assert_allclose(both, (one + other) / 2, atol=2e-6)


def test_images_that_are_not_there_are_named_before_anything_is_computed(place: Path) -> None:
    done = predict(place, "one", test=(*TEST, "data.test.images=away"))
    assert done.exit_code == 3 and "5 of 5 test images are missing: " in done.stderr, done.output
    assert "data.test.images is the folder" in done.stderr


def test_what_cannot_be_written_leaves_what_was_made_to_the_next_call(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    out = ["-o", str(tmp_path / "mine.csv"), "--data", str(place / "data")]
    (tmp_path / "mine.csv.json").mkdir()  # where its note belongs
    words = ["predict", str(place / "one"), *TEST, *out]
    done = CliRunner(env={"TRAINQ_CACHE": str(place / "cache")}).invoke(app, words)
    assert done.exit_code == 1 and "mine.csv.json" in done.stderr
    assert list((tmp_path / ".mine.csv.parts").iterdir())


def test_a_sample_with_cells_beyond_its_columns_is_filled_in_all_the_same(place: Path) -> None:
    rows = (place / "data/sample_submission.csv").read_text().splitlines()
    ragged = "\r\n".join(["\ufeff" + rows[0], *(f"{row}," for row in rows[1:3]), "", *rows[3:]])
    (place / "data/ragged.csv").write_text(ragged)
    done = predict(place, "one", test=("data.test.csv=ragged.csv", *TEST[1:]))
    assert done.exit_code == 0, done.stderr
    mine = (place / "submission.csv").read_text().splitlines()
    assert mine[0] == rows[0] and [row.endswith(",") for row in mine[1:4]] == [True, True, False]
    assert [row.split(",")[:2] for row in mine] == [row.split(",")[:2] for row in rows]


def test_a_config_without_a_test_set_says_which_keys_name_one(place: Path) -> None:
    done = predict(place, "one", test=())
    assert done.exit_code == 2 and "names no test set" in done.stderr
    assert "data.test.root" in done.stderr


# ---- voting, and how a picture is shown ----------------------------------------------------------


def test_the_soft_vote_is_the_largest_mean_and_the_hard_one_the_most_named() -> None:
    said = [np.array([[p, 1 - p]], np.float32) for p in (0.55, 0.55, 0.05)]
    assert votes.answers(said).tolist() == [1]
    assert votes.answers(said, Rule("hard")).tolist() == [0]


def test_a_tie_of_names_is_settled_by_the_mean() -> None:
    said = [np.array([p], np.float32) for p in ([0.5, 0.3, 0.2], [0.0, 0.9, 0.1])]
    assert votes.answers(said, Rule("hard")).tolist() == [1]


def test_every_view_shows_a_part_of_the_right_size() -> None:
    import torch
    from PIL import Image

    look = {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
    look |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8))
    shown = {
        view.name: views.seen(view, 32, look)(picture)
        for view in views.views(["hflip,crops", "scales"])
    }
    assert {tuple(image.shape) for image in shown.values()} == {(3, 32, 32)}
    assert torch.equal(shown["hflip"], shown["plain"].flip(-1))
    assert not torch.equal(shown["crop-00"], shown["crop-11"])
    with pytest.raises(UsageError, match="--tta"):
        views.views(["vflop"])
