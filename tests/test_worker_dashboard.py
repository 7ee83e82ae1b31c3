"""rq-dashboard on the live Redis: it shows our workers, and its buttons harm no run."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from rq_dashboard.web import blueprint
from support.waiting import wait_until
from support.workers import Site

from schemas.run import State

BUTTONS = (  # the order in which somebody in despair might press them
    "/queue/{lane}/compact",
    "/queue/{lane}/queued/empty",
    "/requeue/{lane}",
    "/job/{failed}/requeue",
    "/job/{running}/requeue",
    "/queue/{lane}/started/empty",
    "/queue/{lane}/failed/empty",
    "/queue/{lane}/finished/empty",
    "/queue/{lane}/deferred/empty",
    "/queue/{lane}/scheduled/empty",
    "/queue/{lane}/canceled/empty",
    "/job/{running}/delete",
    "/job/{failed}/delete",
    "/job/{running}/requeue",
)
PAGES = ("", "view/workers", "view/jobs", "view/jobs/{lane}/started/8/asc/1", "view/job/{running}")


class Dashboard:
    """The process, and what a browser would ask of it."""

    def __init__(self, site: Site) -> None:
        self.said = site.folder / "dashboard.log"
        words = ["--bind", "127.0.0.1", "--port", "0", "--verbose", "--redis-url", site.server.url]
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rq_dashboard", *words],
                cwd=site.folder,
                stdout=said,
                stderr=said,
            )
        found = wait_until(
            lambda: re.search(r"Running on (http://\S+)", self.said.read_text()), what="its port"
        )
        self.address = found[1]

    def page(self, path: str, method: str = "GET") -> str:
        request = urllib.request.Request(f"{self.address}/{path.lstrip('/')}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    def data(self, path: str) -> Any:
        return json.loads(self.page(f"0/data/{path}.json"))

    def press(self, path: str) -> None:
        """It may fail; nobody of ours may notice."""
        try:
            self.page(path, "POST")
        except urllib.error.HTTPError as refusal:
            refusal.close()
            assert refusal.code == 500, path


@pytest.fixture
def dashboard(site: Site) -> Iterator[Dashboard]:
    dashboard = Dashboard(site)
    yield dashboard
    dashboard.process.kill()
    dashboard.process.wait()


def test_every_page_shows_what_goes_on_and_no_button_harms_a_run(
    site: Site, dashboard: Dashboard
) -> None:
    failed, done, running = map(site.submit, ("crash=2", "steps=2", "steps=9999"))
    worker = site.worker("cpu", "--no-warm")
    site.at_step(running, 2)
    waiting = site.submit("steps=2")
    lane = site.queue.workers()[0].card.lane
    names = {"lane": lane, "failed": f"{failed}-1", "running": f"{running}-1"}
    wait_until(lambda: site.server.client().zcard(f"rq:wip:{lane}"), what="the execution")

    for page in PAGES:
        assert "RQ" in dashboard.page(f"0/{page.format(**names)}")
    (shown,) = dashboard.data("workers")["workers"]
    assert (shown["state"], shown["queues"]) == ("busy", [lane])
    assert shown["current_job"]["call_string"] == f"trainq.attempt('{running}', 1)"
    assert shown["current_job"]["description"] == f"run-{running} (ana)"
    (queue,) = dashboard.data("queues")["queues"]
    counts = [queue[f"{kind}_job_registry_count"] for kind in ("started", "failed", "finished")]
    assert (queue["name"], counts) == (lane, [1, 1, 1])
    for run, status in ((failed, "failed"), (done, "finished"), (running, "started")):
        assert dashboard.data(f"job/{run}-1")["status"] == status
        (job,) = dashboard.data(f"jobs/{lane}/{status}/8/asc/1")["jobs"]
        assert job["id"] == f"{run}-1"

    for button in BUTTONS:
        dashboard.press(button.format(**names))
        site.at_step(running, site.steps(running)[-1]["step"] + 1)
    assert worker.process.poll() is None
    assert [site.queue.get(run).state for run in (running, waiting, failed, done)] == [
        *(State.RUNNING, State.QUEUED, State.FAILED, State.FINISHED)
    ]
    site.queue.cancel(running, by="ana")
    assert site.ended(running).state is State.CANCELLED and site.queue.get(running).attempt == 1
    assert site.ended(waiting).state is State.FINISHED
    assert [site.queue.get(run).attempt for run in (failed, done)] == [1, 1]


def test_every_button_that_it_has_is_pressed() -> None:
    from flask import Flask

    app = Flask("test")
    app.register_blueprint(blueprint)
    pattern = re.compile(r"<[^>]+>")
    posts = {r.rule for r in app.url_map.iter_rules() if "POST" in (r.methods or ())}
    pressed = [re.compile(pattern.sub("[^/]+", rule) + "$") for rule in posts]
    assert all(any(rule.match(button) for button in BUTTONS) for rule in pressed)
