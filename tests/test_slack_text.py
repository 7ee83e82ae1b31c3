"""What a notice says, and that nobody's words can do anything in it but be read."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queue_worker.notices.notice import (
    CAUSES,
    FALLBACK_LIMIT,
    HEADER_LIMIT,
    SECTION_LIMIT,
    Message,
    Story,
    as_repeat,
    duration,
    fit,
    message,
    rendered,
)
from schemas.events import Event, EventKind
from schemas.run import Best, Cause, Progress, Run, State

RUN: dict[str, Any] = {
    "id": "7f3k2q",
    "name": "resnet18-lr1e-3",
    "user": "ana",
    "config": {},
    "submitted_at": 1000,
    "started_at": 1100,
    "ended_at": 1100 + 18 * 60 + 29,
    "attempt": 1,
    "worker": "v100:0",
}
HOSTILE = [
    *("<!channel>", "<!here|x>", "<@U012ABC>", "<#C012ABC>", "<https://evil.example|fine>"),
    *("@channel", "@here", "@everyone", "#general", "&lt;!channel&gt;", "<!subteam^S1>"),
    *("```", "`", "``` <!channel> ```", "*_~bold~_*", "\u202eevil", "\u2066x\u2069", "a\u0000b"),
    *("\x1b[31mred\x1b[0m", "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07", "\ud800", "😀" * 200),
    *("{0.__class__}", "%s%n", "a\r\nb", "\u2028", "&" * 5000, "<" * 5000, "x" * 10000, " "),
]


def story(kind: EventKind, log: tuple[str, ...] = (), **changes: Any) -> Story:
    told = {
        key: changes.pop(key) for key in ("folder", "owner", "aside", "skipped") if key in changes
    }
    cause = {"cause": Cause.CODE} if kind is EventKind.FAILED else {}
    run = Run.model_validate({**RUN, "state": State(kind), **cause, **changes})
    event = Event(id="1-0", kind=kind, run=run.id, at=1.0)
    return Story(run=run, event=event, log=log, **told)


def said(kind: EventKind, log: tuple[str, ...] = (), **changes: Any) -> str:
    return rendered(message(story(kind, log, **changes)))


def test_a_finished_run_says_what_it_reached_how_long_it_took_and_where_its_files_are() -> None:
    best = Best(metric="accuracy", value=0.91234, epoch=14)
    text = said(EventKind.FINISHED, best=best, folder="v100:/data/runs/7f3k2q")
    assert text == (
        "✅ resnet18-lr1e-3 finished in 18m 29s\n"
        "best `accuracy` *0.9123* at epoch 14\n"
        "`7f3k2q` · by `ana` · on `v100:0`\n"
        "files: `v100:/data/runs/7f3k2q`"
    )


def test_a_gather_run_says_what_it_is_a_mean_of() -> None:
    best, text = (
        Best(metric="accuracy", value=0.5, epoch=0),
        "accuracy 0.5, 4 of 5 folds, missing 3",
    )
    assert f"\n{text}\n" in said(EventKind.FINISHED, best=best, result={"text": text})


def test_a_failed_run_says_why_shows_the_last_lines_and_the_command_that_would_mend_it() -> None:
    text = said(
        EventKind.FAILED,
        tuple(f"line {number}" for number in range(30)),
        cause=Cause.CUDA_OOM,
        error="CUDA out of memory at loop.py:88",
        owner="U012BO",
        result={"try_this": "data.batch_size=64"},
    )
    assert text.startswith("❌ resnet18-lr1e-3 failed after 18m 29s: the GPU ran out of memory\n")
    assert "by <@U012BO> `ana`" in text
    assert "`CUDA out of memory at loop.py:88`" in text
    assert "line 14" not in text and "```\nline 15\n" in text and "line 29\n```" in text
    assert text.endswith("retry: `publisher retry 7f3k2q data.batch_size=64`")


@pytest.mark.parametrize("advice", ["; rm -rf ~", "a=$(reboot)", "lower the rate", "a=1 | sh"])
def test_advice_that_is_no_override_never_becomes_part_of_a_command(advice: str) -> None:
    text = said(EventKind.FAILED, result={"try_this": advice})
    assert text.endswith(f"retry: `publisher retry 7f3k2q`\ntry: `{advice}`")


def test_a_cancelled_run_says_by_whom_why_where_and_that_the_checkpoint_is_kept() -> None:
    text = said(
        EventKind.CANCELLED,
        wish_by="bo",
        wish_reason="wrong split",
        progress=Progress(epoch=7, epochs=50),
        checkpoint="attempts/1-00000000/checkpoints/step-420",
        checkpoint_step=420,
    )
    assert text.startswith("⏹ resnet18-lr1e-3 cancelled by bo at epoch 7 of 50\n")
    assert "reason: `wrong split`" in text
    assert "checkpoint (step 420) is kept" in text and "`publisher retry 7f3k2q`" in text


@pytest.mark.parametrize(
    ("text", "title", "mend"),
    [
        (
            "3 runs of batch lr3 failed alike (code): 9 more are held",
            "batch lr3 is held",
            "queue release -b lr3",
        ),
        (
            "the last 3 attempts of v100:0 ended in host_oom",
            "worker v100:0 is paused",
            "worker resume v100:0",
        ),
    ],
)
def test_a_breaker_says_what_it_holds_why_and_how_to_go_on(
    text: str, title: str, mend: str
) -> None:
    failed = story(EventKind.FAILED, batch="lr3", error="no x.jpg")
    event = Event(id="1-0", kind=EventKind.PAUSED, run=RUN["id"], at=1.0, by="v100:0", text=text)
    assert rendered(message(replace(failed, event=event))) == (
        f"⏸ {title}\n{text}\n"
        "last: `7f3k2q` · by `ana` · on `v100:0` · batch `lr3`\n`no x.jpg`\n"
        f"look: `queue show 7f3k2q`, go on: `{mend}`"
    )


def test_runs_that_waited_in_vain_are_told_of_with_the_one_that_they_waited_for() -> None:
    text = said(EventKind.CANCELLED, ended_by="ana", skipped=12)
    assert text.endswith("12 runs that waited for it never start: `queue list -s skipped`")


def test_a_run_cancelled_before_it_began_says_that_there_is_no_checkpoint() -> None:
    text = said(EventKind.CANCELLED, ended_by="ana", started_at=None, worker="")
    assert text.startswith("⏹ resnet18-lr1e-3 cancelled by ana\n") and "no checkpoint" in text


def test_only_a_failure_mentions_its_owner() -> None:
    for kind in (EventKind.FINISHED, EventKind.CANCELLED):
        assert "<@" not in said(kind, owner="U012BO")


def test_a_repeat_is_the_same_notice_and_says_that_it_may_be_one() -> None:
    first = message(story(EventKind.FINISHED))
    again = as_repeat(first)
    assert again.blocks[:-1] == first.blocks and again.text == first.text
    assert "may be a repeat" in rendered(again)


def test_every_cause_has_words_for_it() -> None:
    assert set(CAUSES) == set(Cause)
    for cause in Cause:
        assert CAUSES[cause] in said(EventKind.FAILED, cause=cause)


def test_of_a_progress_bar_only_the_last_state_is_shown() -> None:
    assert "```\n100%\n```" in said(EventKind.FAILED, ("  1%\r 50%\r100%\r\n",))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0s"), (12, "12s"), (1109, "18m 29s"), (7500, "2h 05m"), (273600, "3d 04h")],
)
def test_a_duration_is_written_as_people_say_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# ---- hostile words ---------------------------------------------------------------------------

ENTITY = re.compile(r"&(?:amp|lt|gt);")
words = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=200), st.text("<>&@#`!\n", max_size=80)
)


def everywhere(kind: EventKind, text: str) -> Message:
    """A run in which every word that people or their code can choose is this one."""
    changes: dict[str, Any] = dict.fromkeys(
        ("name", "user", "batch", "retry_of", "worker", "error", "wish_by", "wish_reason"), text
    )
    best = Best(metric=text, value=1.0, epoch=1)
    told = {"folder": text, "aside": text, "result": {"try_this": text}}
    return message(story(kind, (text, text), best=best, **told, **changes))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([EventKind.FINISHED, EventKind.FAILED, EventKind.CANCELLED]), words)
def test_hostile_words_mention_nobody_and_break_no_markup(kind: EventKind, text: str) -> None:
    shown = everywhere(kind, text)
    json.dumps([shown.text, shown.blocks]).encode()
    assert 0 < len(shown.text) <= FALLBACK_LIMIT
    harmless(shown.text)
    for block in shown.blocks:
        paragraph = block["text"]["text"]
        assert 0 < len(paragraph) <= (HEADER_LIMIT if block["type"] == "header" else SECTION_LIMIT)
        harmless(paragraph)
        if block["type"] == "section":
            assert block["text"]["verbatim"]
            assert paragraph.replace("```", "").count("`") % 2 == 0
            assert paragraph.count("```") in (0, 2)


def harmless(text: str) -> None:
    assert "<" not in text and ">" not in text
    assert "&" not in ENTITY.sub("", text)
    assert not re.search(r"[@#]\w", text)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )


@given(st.text(), st.integers(10, 300))
def test_what_is_too_long_is_cut_in_the_middle_and_never_through_an_entity(
    text: str, limit: int
) -> None:
    short = fit(text, limit)
    assert len(short.encode("utf-16-le")) // 2 <= limit
    assert "&" not in ENTITY.sub("", short)


def test_of_a_long_line_the_beginning_and_the_end_stay() -> None:
    short = fit("begin " + "x" * 500 + " end", 50)
    assert short.startswith("begin x") and short.endswith("x end") and " … " in short
