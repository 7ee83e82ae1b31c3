"""What a shell is offered at a Tab: live ids and names, or nothing; never an error or a server."""

from support.desk import Answer, Desk
from support.runs import a_worker
from support.servers import ON_ONE_SERVER
from typer.testing import CliRunner

from queue_worker.__main__ import AT_A_TAB, whole

pytestmark = ON_ONE_SERVER


def tab(desk: Desk, line: str, **env: str) -> Answer:
    """As bash does at a Tab behind the line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    tool = words[0]
    asked[f"_{tool.upper()}_COMPLETE"] = "complete_bash"
    return desk.run(tool, **{**asked, "REDIS_URL": desk.server.patient_url, **env})


def test_runs_are_offered_by_id_and_by_name(desk: Desk) -> None:
    run_id = desk.submit("--name", "my-net")
    offered = tab(desk, "queue show ").out.split()
    assert offered[:2] == ["@last", "@failed"] and {run_id, "my-net"} <= set(offered)
    assert tab(desk, f"queue cancel {run_id[:3]}").out.split() == [run_id]
    assert tab(desk, "queue logs my-").out.split() == ["my-net"]
    assert tab(desk, "queue move --before my-").out.split() == ["my-net"]


def test_batches_states_and_verbs_are_offered(desk: Desk) -> None:
    desk.publisher("submit", str(desk.config), "--seeds", "2", "--name", "sweep")
    card = desk.door.batches()[0].card
    assert set(tab(desk, "queue cancel -b ").out.split()) == {card.id, card.name}
    assert tab(desk, "queue list -s held,fa").out.split() == ["held,failed"]
    assert tab(desk, "queue rel").out.split() == ["release"]


def test_where_no_redis_answers_nothing_is_offered_said_or_started(desk: Desk) -> None:
    state = desk.folder / "state"
    for env in (
        {"REDIS_URL": "redis://127.0.0.1:1"},
        {"REDIS_URL": "", "TRAINQ_STATE": str(state)},
        {"TRAINQ_LEASE_S": "nonsense"},
    ):
        answer = tab(desk, "queue show x", **env)
        assert (answer.out.strip(), answer.err) == ("", "")
    assert not state.exists()


def test_runs_files_and_templates_are_offered_where_they_are_meant(desk: Desk) -> None:
    run_id = desk.submit("--name", "my-net")
    assert tab(desk, f"publisher edit {run_id[:4]}").out.split() == [run_id]
    assert tab(desk, "publisher diff my-net goo").out.split() == ["good.yaml"]
    assert tab(desk, "publisher init --template k").out.split() == ["kfold"]


def behind_worker(desk: Desk, line: str, **env: str) -> list[str]:
    """The same of `worker`, in this process."""
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    asked |= {AT_A_TAB: "complete_bash", "REDIS_URL": desk.server.patient_url, **env}
    return CliRunner().invoke(whole(), [], env=asked, prog_name="worker").stdout.split()


def test_verbs_options_and_workers_are_offered_behind_worker(desk: Desk) -> None:
    for lane in ("v100:0", "v100:1", "a100:0"):
        desk.door.announce(a_worker(lane))
    verbs = {"run", "list", "drain", "resume", "doctor"}
    assert set(tab(desk, "worker ").out.split()) == verbs
    assert behind_worker(desk, "worker --max-r") == ["--max-runs"]
    assert behind_worker(desk, "worker run --bu") == ["--burst"]
    assert behind_worker(desk, "worker drain v") == ["v100:0", "v100:1", "v100"]
    assert behind_worker(desk, "worker resume v", REDIS_URL="redis://127.0.0.1:1") == []
