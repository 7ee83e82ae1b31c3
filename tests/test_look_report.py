"""`trainer report`: a page and pictures of a run, that need nothing but themselves."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.judged import draw_place, gather, small, train_folds, train_run
from support.pages import insist_it_stands_alone, read
from typer.testing import CliRunner, Result

from schemas.rundir import RunDir
from trainer.entry.by_hand import app
from trainer.judge import predictions, scores
from trainer.judge.predictions import Predictions
from trainer.look import comparison, run_report


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds, their gather run, and a run on people."""
    place = draw_place(tmp_path_factory.mktemp("looked"))
    gather(place, "folds", train_folds(place, "fold"))
    mask = {"kind": "mask", "root": "mask"}
    train_run(place, "mask", data=small(source=mask, test=None), train__epochs=1)
    return place


@pytest.fixture(autouse=True)
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def typed(*words: str) -> Result:
    return CliRunner(env={"TRAINQ_DATA": "data"}).invoke(app, ["report", *words])


def test_a_run_gets_a_page_that_stands_alone_and_pictures_beside_it() -> None:
    done = typed("runs/fold0")
    assert (done.exit_code, done.stdout) == (0, "runs/fold0/report/fold0.html\n"), done.output
    page = read("runs/fold0/report/fold0.html")
    insist_it_stands_alone(page)
    assert "None" not in page.text.split("Learning")[0]
    said = predictions.of_run(Path("runs/fold0"))
    values, likely = said.scored()
    assert f"{values['accuracy']:.4f}" in page.text
    assert f"{likely['accuracy'].low:.4f} to {likely['accuracy'].high:.4f}" in page.text
    pictures = {path.name for path in Path("runs/fold0/report").glob("*.png")}
    assert pictures == {f"{name}.png" for name in PICTURES}
    for path in Path("runs/fold0/report").glob("*.png"):
        Image.open(path).load()


PICTURES = ("loss", "scores", "rate", "confusion", "calibration", "worst", "classes")


def test_the_gallery_has_the_worst_answers_first_with_truth_and_likeliest_classes() -> None:
    typed("runs/folds", "-o", "gallery")
    said = predictions.of_run(Path("runs/folds"))
    text = Path("gallery/folds.html").read_text()
    gallery = text[text.index('id="worst-images"') : text.index('id="contact-sheets"')]
    own = said.probabilities[np.arange(len(said.true)), said.true]
    wrong = said.probabilities.argmax(1) != said.true
    order = sorted(np.flatnonzero(wrong).tolist(), key=lambda n: (own[n], said.names[n]))
    assert re.findall(r'<p class="faint">(.*?)</p>', gallery) == [said.names[n] for n in order][:24]
    first = gallery[: gallery.index('<p class="faint">')]
    assert f"<h3>{said.classes[said.true[order[0]]]}<span" in first
    chances = [float(chance) for chance in re.findall(r"([\d.]+)%</span>", first)]
    expected = np.sort(said.probabilities[order[0]])[::-1][:5] * 100
    assert chances == pytest.approx(expected.tolist(), abs=0.051)
    assert first.count("<img") == 2  # as given, and as the model saw it


def test_the_most_confused_pairs_come_by_their_number_with_their_worst_images() -> None:
    said = predictions.of_run(Path("runs/fold0"))
    names, images = said.classes, len(said.true)
    likely = np.full((images, 4), 0.01, np.float32)
    guessed = said.true.copy()
    shift = {0: 2, 1: 3}  # each of the one class is taken for this, of the others nobody
    for number, true in enumerate(said.true.tolist()):
        guessed[number] = shift.get(true, true)
        likely[number, guessed[number]] = 0.5 + number / 100  # the later, the surer
        likely[number, true] += 0.3 - number / 100
    likely /= likely.sum(1, keepdims=True)
    run = changed("mixed", replace(said, probabilities=likely))
    config = run / "config.yaml"
    config.write_text(re.sub("(?m)^name: .*$", "name: two-of-four", config.read_text()))
    assert typed(str(run), "-o", "mixed").exit_code == 0
    text = Path("mixed/mixed.html").read_text()
    assert "<h1>two-of-four mixed</h1>" in text
    assert '<p class="says">test_vit at 32 px on sketch</p>' in text
    insist_it_stands_alone(read("mixed/mixed.html"))
    part = text[text.index("Most confused") : text.index('id="calibration"')]
    times = {true: int((said.true == true).sum()) for true in shift}
    order = sorted(shift, key=lambda true: (-times[true], true))
    assert re.findall(r"<h3>(.*?)</h3>", part) == [
        f"{names[true]} taken for {names[shift[true]]}: {times[true]}" for true in order
    ]
    for true, pair in zip(order, part.split("<h3>")[1:], strict=True):
        latest = [said.names[n] for n in np.flatnonzero(said.true == true)[::-1][:3]]
        assert re.findall(r'alt="(.*?)"', pair) == latest
        assert pair.count("% sure") == len(latest)


def test_without_a_mistake_nothing_is_most_confused() -> None:
    said = predictions.of_run(Path("runs/fold0"))
    perfect = np.eye(len(said.classes), dtype=np.float32)[said.true]
    run = changed("flawless", replace(said, probabilities=perfect))
    assert typed(str(run), "-o", "flawless").exit_code == 0
    text = read("flawless/flawless.html").text
    assert "Most confused" not in text and "Every answer was right." in text


def test_the_model_saw_what_the_page_shows(place: Path) -> None:
    from trainer.look import sight, subject

    about = subject.of(Path("runs/fold0"))
    assert about.said
    name = about.said.names[0]
    with sight.sight(about.config, about.said.classes, place / "data", [name]) as eyes:
        seen, given = eyes.seen(name), eyes.given(name)
    assert seen and given
    assert seen.size == (32, 32)
    path = place / "data/sketch/train" / name
    assert given.tobytes() == Image.open(path).convert("RGB").tobytes()


def test_a_k_fold_shows_each_fold_their_spread_and_who_is_not_there(place: Path) -> None:
    shutil.move("runs/fold2", "runs/.away")
    try:
        done = typed("runs/folds", "-o", "spread")
    finally:
        shutil.move("runs/.away", "runs/fold2")
    assert done.exit_code == 0, done.output
    page = read("spread/folds.html")
    insist_it_stands_alone(page)
    assert "Not in this folder: fold2." in page.text
    assert "±" in page.text
    assert "Loss: training" in page.text


def changed(name: str, said: Predictions, **of_config: str) -> Path:
    """A copy of the first fold that has said something else."""
    run = RunDir(Path("runs") / name)
    shutil.copytree("runs/fold0", run.path, symlinks=True)
    best = next(run.attempts.iterdir()) / "best"
    (best / predictions.VALIDATION).write_bytes(said.packed())
    text = run.config.read_text()
    for key, value in of_config.items():
        text, times = re.subn(rf"(?m)^( *{key}): .*$", rf"\1: {value}", text)
        assert times
    run.config.write_text(text)
    return run.path


def test_doubted_labels_are_shown_with_the_command_that_corrects_them(place: Path) -> None:
    said = predictions.of_run(Path("runs/fold0"))
    sure = np.full_like(said.probabilities, 0.02)
    sure[np.arange(len(said.true)), said.true] = 0.94
    sure[0] = np.roll(sure[0], 1)  # surely another class
    run = changed("doubtful", replace(said, probabilities=sure))
    assert typed(str(run), "-o", "doubtful").exit_code == 0
    page = Path("doubtful/doubtful.html").read_text()
    insist_it_stands_alone(read("doubtful/doubtful.html"))
    part = page[page.index('id="suspected-labels"') : page.index('id="particulars"')]
    other = said.classes[(said.true[0] + 1) % len(said.classes)]
    assert "1 label may be wrong" in part and part.count("<img") == 1
    assert "its own mistakes" not in part
    assert f"{said.names[0]}" in part and f"</span>{other}</span>94.0%" in part
    [command] = re.findall(r"<pre>(trainer suspects [^<]*)</pre>", part)
    words = command.replace("DATA/", "data/").split()[1:]
    done = CliRunner(env={"TRAINQ_DATA": "data"}).invoke(app, words)
    assert done.exit_code == 0 and "1 of 11 images" in done.stdout, done.output
    assert "data.source.train_csv=corrected.csv" in part and "corrected.csv" in done.stdout


def test_several_runs_are_compared_on_the_same_draws_and_their_configs_beside_each_other(
    place: Path,
) -> None:
    said = predictions.of_run(Path("runs/fold0"))
    perfect = np.eye(len(said.classes), dtype=np.float32)[said.true]
    best = changed("perfect", replace(said, probabilities=perfect), lr="0.125")
    done = typed("runs/fold0", str(best), "-o", "both")
    assert done.exit_code == 0 and done.stdout.splitlines()[-1] == "both/compare.html", done.output
    page = read("both/compare.html")
    insist_it_stands_alone(page)
    text = Path("both/compare.html").read_text()
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["perfect", "fold0", "all together"]
    groups = np.arange(len(said.true))
    guessed = said.probabilities.argmax(1)
    by = scores.gains(said.true, guessed, said.true, groups, len(said.classes))["accuracy"]
    lost = (guessed == said.true).mean() - 1
    assert f"{lost:+.4f}" in table and f"{by.low:+.4f} to {by.high:+.4f}" in table
    configs = text[text.index('id="configs"') :]
    assert "optim.lr" in configs and "0.125" in configs and "data.source" not in configs
    shown = [svg["aria-label"] for svg in page.all("svg")]
    assert shown[:2] == ["Accuracy", "Macro F1"] and "Loss: validation" in shown


def test_scores_of_different_images_are_not_taken_from_each_other() -> None:
    runs = [Path("runs") / name for name in ("fold0", "fold1", "folds")]
    page = read(comparison.make(runs, Path()))
    assert "They did not validate the same images" in page.text
    assert "all together" not in page.text and "to the first" not in page.text


def test_names_are_text_whatever_they_say(place: Path) -> None:
    evil = '<script>alert("1")</script>'
    shutil.copytree("runs/mask", "runs/evil", symlinks=True)
    best = RunDir(Path("runs/evil")).attempt(next(Path("runs/evil/attempts").iterdir()).name).best
    said = predictions.read(best / predictions.VALIDATION)
    classes = (evil, "\x00\u202e&amp;", *said.classes[2:])
    names = tuple(f"{name}\"'><img src=http://x onerror=y>" for name in said.names)
    changed = Predictions(names, said.persons, classes, said.true, said.probabilities)
    (best / predictions.VALIDATION).write_bytes(changed.packed())
    done = typed("runs/evil", "-o", "evil")
    assert done.exit_code == 0, done.output
    page = read("evil/evil.html")
    insist_it_stands_alone(page)
    assert evil in page.text
    assert "\ufffd\ufffd&amp;" in page.text
    assert "onerror" in page.text or "No pictures" in page.text
    assert "\x00" not in Path("evil/evil.html").read_text()


def test_a_run_whose_data_are_gone_is_reported_without_pictures() -> None:
    done = typed("runs/fold0", "--data", "nowhere", "-o", "blind")
    assert done.exit_code == 0, done.output
    assert "Say where they are by --data." in done.stderr
    page = read("blind/fold0.html")
    assert "No pictures" in page.text
    assert not page.all("img")


def test_a_page_is_titled_by_name_id_and_score(place: Path) -> None:
    shutil.copytree("runs/fold0", "runs/7f3k2q", symlinks=True)
    facts = json.loads(next(Path("runs/7f3k2q/attempts").glob("*/result.json")).read_bytes())
    score = f"accuracy {facts['best']['value']:.4f}"
    for record, called in (
        ('{"name": "resnet-lr1e-3"}', "resnet-lr1e-3 7f3k2q"),
        ("{", "7f3k2q"),
    ):
        RunDir(Path("runs/7f3k2q")).record.write_text(record)
        assert typed("runs/7f3k2q", "-o", "titled", "--data", "nowhere").exit_code == 0
        page = Path("titled/7f3k2q.html").read_text()
        assert f"<title>{called}, {score}: trainq report</title>" in page
        assert f"<h1>{called}</h1>" in page


def test_a_run_that_failed_shows_what_it_has(place: Path) -> None:
    shutil.copytree("runs/fold1", "runs/failed", symlinks=True)
    attempt = next(Path("runs/failed/attempts").iterdir())
    result = attempt / "result.json"
    words = '"exit_code": 5'
    result.write_text(re.sub(r'"exit_code": 0', words, result.read_text()))
    done = typed("runs/failed", "-o", "failed")
    assert done.exit_code == 0, done.output
    page = read("failed/failed.html")
    assert "Failed" in page.text
    assert "no scores, no pictures" in page.text
    assert next(svg["aria-label"] for svg in page.all("svg")) == "Loss"
    result.unlink()
    typed("runs/failed", "-o", "failed")
    assert "Has not ended" in read("failed/failed.html").text
    for file, text in (("environment.json", "{"), ("metrics.csv", "epoch,loss\n1,much\n")):
        (attempt / file).write_text(text)
        done = typed("runs/failed", "-o", "failed")
        assert done.exit_code == 3 and f"{file} is damaged" in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("runs/none",), 3, "is no run's folder"),
        (("runs/fold0", "./runs/fold0", "-o", "twice"), 2, "two runs have one name"),
    ],
    ids=("absent", "twice"),
)
def test_what_cannot_be_reported_is_one_line(words: tuple[str, ...], code: int, said: str) -> None:
    done = typed(*words)
    assert done.exit_code == code
    assert said in done.stderr


def test_the_largest_page_is_light_enough_to_mail(place: Path, tmp_path: Path) -> None:
    """Five hundred classes, every answer a chance, every image noise: nothing is larger."""
    dice = np.random.default_rng(0)
    root = tmp_path / "noise"
    shutil.copytree("runs/fold0", tmp_path / "run", symlinks=True)
    names = [f"n{label:08d}/{'long' * 10}{n}.JPEG" for label in range(500) for n in range(6)]
    photo = io.BytesIO()
    Image.fromarray(dice.integers(0, 256, (200, 200, 3), np.uint8)).save(photo, "JPEG")
    rows = ["class_name,image_path,target"]
    for place_, name in enumerate(names):
        path = root / "sketch/train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.getvalue())
        rows.append(f"{Path(name).parent.name},{name},{place_ // 6}")
    (root / "sketch/train.csv").write_text("\n".join(rows))
    likely = dice.random((len(names), 500)).astype(np.float32) ** 8
    true = np.repeat(np.arange(500), 6)
    likely[::2][np.arange(1500), true[::2]] = 2  # half of them are right
    likely /= likely.sum(1, keepdims=True)
    classes = tuple(f"n{label:08d}" for label in range(500))
    said = Predictions(tuple(names), tuple(names), classes, true, likely)
    best = next((tmp_path / "run/attempts").iterdir()) / "best"
    (best / predictions.VALIDATION).write_bytes(said.packed())
    done = typed(str(tmp_path / "run"), "--data", str(root), "--classes", "40")
    assert done.exit_code == 0, done.output
    page = tmp_path / "run/report/run.html"
    matrix = scores.confusion(true, likely.argmax(1), 500)
    assert scores.accuracy(matrix) == pytest.approx(0.5, abs=0.01)
    assert len(read(page).all("img")) > 250
    assert 1_000_000 < page.stat().st_size < run_report.LIMIT
