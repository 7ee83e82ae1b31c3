"""`worker --update`: between runs a worker follows its upstream branch, or says why not."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import wait_until
from support.workers import Site, TestWorker

from schemas.run import State

SOURCE = Path(__file__).parents[1]
SETUP = "deploy/setup"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.check_output(command, text=True, stderr=subprocess.STDOUT).strip()


def write(upstream: Path, name: str, text: str) -> str:
    """A commit with this file; its id."""
    path = upstream / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    git(upstream, "add", "-A")
    git(upstream, "commit", "-qm", f"another {name}")
    return git(upstream, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """What the team pushes to."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for package in ("schemas", "queue_worker", "trainer"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(SOURCE / package, folder / package, ignore=ignored)
    write(folder, "requirements.lock", "torch==1\n")
    source = (folder / "queue_worker" / "update.py").read_text()
    assert "LEASES = 2 " in source
    write(folder, "queue_worker/update.py", source.replace("LEASES = 2 ", "LEASES = 0.05 "))
    return folder


@pytest.fixture
def site(tmp_path: Path, upstream: Path) -> Iterator[Site]:
    git(tmp_path, "clone", "-q", str(upstream), "host")
    site = Site(
        tmp_path,
        PYTHONPATH=str(tmp_path / "host"),
    )
    yield site
    site.close()


def follower(site: Site) -> TestWorker:
    return site.worker("cpu", "--update", "--no-warm").ready()


def starts(worker: TestWorker) -> int:
    return worker.said().count("ready, waiting")


def test_a_worker_ends_its_run_follows_and_begins_anew_as_the_same_process(
    site: Site, upstream: Path
) -> None:
    worker = follower(site)
    run_id = site.submit("steps=2 gate=1")
    site.at_gate(run_id, 1)
    newest = write(upstream, "schemas/newer.py", '"""News."""\n')
    host = site.folder / "host"
    wait_until(lambda: git(host, "rev-parse", "@{upstream}") == newest, what="its look")
    site.open_gate(run_id)
    wait_until(lambda: starts(worker) == 2, what="a second start")
    assert site.queue.get(run_id).state is State.FINISHED
    assert worker.said().index("done") < worker.said().index("updates to")
    assert git(host, "rev-parse", "HEAD") == newest
    assert site.ended(site.submit("steps=2")).state is State.FINISHED  # by the same pid
    assert worker.process.poll() is None


def test_packages_are_set_up_when_their_list_has_changed_and_a_fault_leaves_all_as_it_was(
    site: Site, upstream: Path
) -> None:
    worker = follower(site)
    before = git(site.folder / "host", "rev-parse", "HEAD")
    write(upstream, SETUP, "#!/bin/sh\necho no space left on device >&2\nexit 1\n")
    wait_until(lambda: starts(worker) == 2, what="the new setup")  # no package changed yet
    before = git(site.folder / "host", "rev-parse", "HEAD")
    write(upstream, "requirements.lock", "torch==2\n")
    wait_until(lambda: "no space left" in worker.said(), what="the fault")
    assert git(site.folder / "host", "rev-parse", "HEAD") == before
    assert site.ended(site.submit("steps=2")).state is State.FINISHED
    write(upstream, SETUP, "#!/bin/sh\ntouch was-set-up\n")
    wait_until(lambda: starts(worker) == 3, what="a third start")
    assert (site.folder / "host" / "was-set-up").exists()


def test_what_cannot_be_followed_is_said_once_and_the_worker_goes_on(
    site: Site, upstream: Path
) -> None:
    host = site.folder / "host"
    (host / "schemas" / "newer.py").write_text("mine\n")
    git(host, "add", "-A")
    git(host, "commit", "-qm", "of this host alone")
    worker = follower(site)
    write(upstream, "schemas/newer.py", "yours\n")
    wait_until(lambda: "cannot be followed" in worker.said(), what="the refusal")
    upstream.rename(site.folder / "gone")
    wait_until(lambda: "cannot look for updates" in worker.said(), what="the fault")
    assert site.ended(site.submit("steps=2")).state is State.FINISHED
    assert (worker.said().count("cannot be followed"), starts(worker)) == (1, 1)


@pytest.mark.parametrize("more", ["--burst", "--max-runs=1"])
def test_a_worker_that_will_leave_anyway_does_not_update(site: Site, more: str) -> None:
    worker = site.worker("cpu", "--update", more)
    assert worker.wait() == 2
    assert "--update is for a worker that stays" in worker.said()


def test_without_a_branch_to_follow_the_start_is_refused(site: Site) -> None:
    git(site.folder / "host", "checkout", "-q", "--detach")
    worker = site.worker("cpu", "--update")
    assert worker.wait() == 2
    assert "follows no branch of a remote" in worker.said()
