"""docs/queue.md is true: whatever somebody types there is answered as it says there.

TRAINQ_WRITE_DOCS=1 writes the answers of today into the page instead.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from support import story
from support.servers import TestServer
from support.sketches import draw_sketches
from support.story import Stage

from queue_worker.queue import Queue
from schemas.settings import Settings

PAGE = Path(__file__).parents[1] / "docs/queue.md"
WRITE = bool(os.environ.get("TRAINQ_WRITE_DOCS"))


@pytest.fixture
def stage(tmp_path: Path, quick_python: Path) -> Iterator[Stage]:
    desk = Path(mkdtemp(prefix="day-", dir="/tmp"))  # as long each time: lines are cut alike
    server = TestServer(desk / "srv").start()
    draw_sketches(desk / "data/sketch", classes=4, each=16)
    env = {
        "REDIS_URL": server.patient_url,
        "TRAINQ_HOST": "gpu1",
        "TRAINQ_RUNS": str(desk / "runs"),
        "TRAINQ_DATA": str(desk / "data"),
        "TRAINQ_CACHE": str(desk / "cache"),
        "TRAINQ_STATE": str(tmp_path / "state"),
        "COLUMNS": "100",
        "OMP_NUM_THREADS": "1",
    }
    yield Stage(desk, env, quick_python)
    server.kill()
    shutil.rmtree(desk)


@pytest.mark.timeout(900)
def test_a_day_at_the_queue_goes_as_its_page_says(stage: Stage) -> None:
    page = PAGE.read_text()
    answers = list(stage.play(page))
    door = Queue.connect(Settings.read(stage.env))
    ids = [row.id for row in door.list()] + [view.card.id for view in door.batches()]
    if WRITE:
        PAGE.write_text(story.rewritten(page, answers, ids))
    else:
        known = story.ids_of(page)
        found = [(line, story.alike(line.answer, known, now, ids)) for line, now in answers]
        wrong = [f"{line.who}$ {line.typed}\n{why}" for line, why in found if why]
        assert not wrong, "\n\n".join(wrong)
