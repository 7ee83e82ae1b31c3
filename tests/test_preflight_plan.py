"""What predictions mean for a plan, and the cache that keeps them: no server, no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.runs import a_worker

from publisher.plans import preflight
from publisher.plans.fitting import fitted
from publisher.plans.plan import Needs, Planned
from publisher.plans.preflight import Cache, missing
from schemas.errors import UsageError
from schemas.preflight import Answer, Ask, Preflight

NUMBERS = {"precision": "amp", "parameters": 1, "trainable": 1, "gmacs": 1.0, "img_size": 64}
SHAPE = {"fixed_mb": 100, "image_mb": 100, "input_mb": 0, "gradient_mb": 10}


def seen(peak_mb: int = 6500, **facts: Any) -> Preflight:
    return Preflight(**{**NUMBERS, **SHAPE, "batch_size": 64, "peak_mb": peak_mb, **facts})


def a_plan(**needs: Any) -> list[Planned]:
    return [Planned("mine", "ana", {}, needs=Needs(**needs))]


def notes(cards: Sequence[Any], peak_mb: int = 6500, **needs: Any) -> list[str]:
    answers = {"k": Answer(key="k", preflight=seen(peak_mb))}
    return fitted(a_plan(**needs), ["k"], answers, cards).notes


def test_only_gpus_that_the_run_could_get_are_compared_with() -> None:
    small, cpu = a_worker("small:0", memory_mb=6000), a_worker("box:cpu")
    pair = a_worker("pair:0,1", memory_mb=16160, gpus=2)
    with pytest.raises(UsageError, match="of small:0, the roomiest GPU here"):
        notes([small])
    with pytest.raises(UsageError, match="small:0"):
        notes([small, pair], needs_host="small")
    for cards in ([], [small, cpu], [small, pair], [a_worker("other:0")]):
        assert notes(cards) == ["predicted: 6.3 GiB of GPU memory in AMP"]
    assert len(notes([pair], 14_000, gpus=2)) == 2  # and a warning that it is tight


def test_a_damaged_answer_is_no_answer_and_a_failed_one_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new" / "folder")
    cache.keep([Answer(key="a", refused="no"), Answer(key="b", failed="out of luck")])
    assert set(cache.known("ab")) == {"a"}
    next(cache.folder.iterdir()).write_text("{")
    assert not cache.known("ab")
    Cache(tmp_path / "file").folder.write_text("")
    Cache(tmp_path / "file").keep([Answer(key="a")])  # nowhere to write: no harm


def test_one_line_tells_what_the_worker_has_to_find_out() -> None:
    asks = [Ask(key=key, config={}) for key in "abc"]
    told = {"a": Answer(key="a", preflight=seen()), "b": Answer(key="b", failed="E: odd")}
    line = "pre-flight: 1 of 3 made: E: odd; the worker makes the rest"
    assert missing(asks, told, 5) == [line]
    assert not missing(asks[:1], {"a": told["a"]}, 5)


def test_versions_are_read_without_importing_anything() -> None:
    torch, timm = preflight.libraries()
    assert "__version__" in torch and "__version__" in timm
