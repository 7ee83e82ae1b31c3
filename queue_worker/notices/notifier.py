"""From the outbox to people: every end of a run is told once, in order, whatever Slack does.

A fault of Slack or of Redis ends here: it is logged when the state of things changes, and the
notice is tried again later. No run ever waits for any of it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from queue_worker.notices.notice import Story, as_repeat, held_batch, message
from queue_worker.notices.poster import File, Later, Lookup, Outcome, Place, Poster, Refused
from queue_worker.notices.slack import Bot, Webhook, user_ids
from queue_worker.queue import Queue
from schemas.errors import QueueUnreachable, TrainqError
from schemas.events import Event, EventKind
from schemas.run import Run, State
from schemas.rundir import RunsRoot
from schemas.settings import Settings

# a skipped run is told of with the parent that it waited for, else a sweep would send hundreds
TOLD = frozenset({EventKind.FINISHED, EventKind.FAILED, EventKind.CANCELLED, EventKind.PAUSED})
FLUSH_POLL_S = 0.1
STOPPED = frozenset({EventKind.FAILED, EventKind.CANCELLED})
SKIPPED_LIMIT = 1000  # looked through for those that waited for a run
OPEN_LIMIT = 1000  # looked at in a step: a channel that is stuck must not hide all others

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """The notifier's times; tests scale them down."""

    poll_s: float = 1.0
    first_wait_s: float = 1.0  # after a failure; doubled after each further one
    longest_wait_s: float = 300.0
    patience_s: float = 60.0  # a sender that has not said how it went for so long is gone

    @property
    def settle_s(self) -> float:
        """A request without an answer may still be on its way: so long until it is looked up."""
        return self.patience_s / 4

    def wait_s(self, outcome: Later, failures: int) -> float:
        """Until the next try: what Slack asked for, or longer after each failure in a row."""
        if outcome.after_s:
            return outcome.after_s
        wait = min(self.first_wait_s * 2.0 ** min(failures, 20), self.longest_wait_s)
        return max(wait, self.settle_s) if outcome.ambiguous else wait


class Notifier:
    """Sends what the outbox holds. Several may run, on one host or on many."""

    def __init__(
        self,
        queue: Queue,
        poster: Poster,
        *,
        by: str,  # the lane of this worker; only one live notifier bears it
        runs: RunsRoot,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._poster, self._by, self._runs = queue, poster, by, runs
        self._pace, self._clock = pace or Pace(), clock
        self._lock = threading.Lock()
        self._places: dict[str, Place | None] = {}  # of open notices; None: nobody is to be told
        self._told: dict[str, tuple[str, str]] = {}  # how and where; Redis does not know it yet
        self._failures: dict[str, int] = {}  # in a row, by channel
        self._state: dict[str, str] = {}  # what was last logged, by channel
        self._open = -1  # notices that the last step found; -1: it found out nothing

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; for a thread of its own."""
        log.info("notices go to %s", self._poster.describe(), extra={"action": "notify"})
        while not stop.is_set():
            settled = self.step(stop)
            stop.wait(self._poster.gap_s if settled else self._pace.poll_s)

    def flush(self, limit_s: float) -> bool:
        """Try to leave nothing open, for so long at most; whether that was reached."""
        deadline = self._clock() + limit_s
        while True:
            settled = self.step()
            if self._open == 0 or self._clock() > deadline:
                return self._open == 0
            if not settled:
                time.sleep(min(self._pace.poll_s, FLUSH_POLL_S))

    def step(self, stop: threading.Event | None = None) -> int:
        """Settle what can be settled now; how many were. Never raises."""
        try:
            with self._lock:
                self._open = -1
                settled = self._settle_all(stop or threading.Event())
            self._say("notices", "")
            return settled
        except (redis.RedisError, TrainqError, OSError) as error:
            self._say("notices", f"wait: {error}")
        except Exception as error:  # a fault here must reach no run; the loop goes on
            self._say("notices", f"wait: fault in trainq: {type(error).__name__}", trace=True)
        return 0

    def _settle_all(self, stop: threading.Event) -> int:
        for event_id, (how, channel) in list(self._told.items()):
            self._settle(event_id, how, channel)
        events = self._queue.notices_open(OPEN_LIMIT)
        self._open = len(events)
        still_open = {event.id for event in events}
        self._places = {key: at for key, at in self._places.items() if key in still_open}
        blocked: set[str] = set()  # channels whose first notice is not through: the rest waits
        settled = 0
        for event in events:
            if stop.is_set():
                break
            try:
                settled += self._advance(event, blocked)
            except QueueUnreachable:
                raise
            except TrainqError as error:  # no record, or a broken one: nothing can be told of it
                log.warning("no notice of %s: %s", event.run, error, extra={"job": event.run})
                self._settle(event.id, f"dead:{error}")
                settled += 1
        return settled

    def _advance(self, event: Event, blocked: set[str]) -> bool:
        """Bring one notice on; whether it is settled now."""
        place = self._place(event)
        if place is None:
            self._settle(event.id, "skipped")
            return True
        if place.channel in blocked:
            return False
        began = self._clock()
        answer = self._queue.notice_begin(
            event.id,
            self._by,
            channel=place.channel,
            patience_s=self._pace.patience_s,
            own_patience_s=self._pace.settle_s,
        )
        if answer == "done":
            return False
        if answer == "busy":
            blocked.add(place.channel)
            return False
        outcome = self._deliver(event, place, began, look=answer == "lookup")
        if self._record(event, place, outcome, look=answer == "lookup"):
            return True
        blocked.add(place.channel)
        return False

    def _place(self, event: Event) -> Place | None:
        if event.id not in self._places:
            run = self._queue.get(event.run) if event.kind in TOLD else None
            self._places[event.id] = self._place_of(event, run) if run else None
        return self._places[event.id]

    def _place_of(self, event: Event, run: Run) -> Place | None:
        """Where its owner wants it; what happens to a worker is everybody's business."""
        if event.kind is EventKind.PAUSED and not held_batch(event, run):
            return self._poster.place("", "")
        return self._poster.place(run.notify, run.user) if run.notify != "none" else None

    def _deliver(self, event: Event, place: Place, began: float, look: bool) -> Outcome:
        story = self._story(event, place)
        try:
            written = message(story)
        except Exception as error:  # one bad record must not stand in front of all others for ever
            log.exception("no notice of %s: a fault in trainq", event.run, extra={"job": event.run})
            return Refused(f"fault in trainq: {type(error).__name__}")
        key = f"{event.run}-{event.id}"
        if look:
            found = self._poster.find(place.channel, key, event.at)
            if not isinstance(found, Lookup):
                return found
            if found is Lookup.BLIND:
                written = as_repeat(written)
        if self._clock() - began > self._pace.patience_s / 2:
            return Later("this worker stood still, another one may have taken over")
        return self._poster.post(place.channel, written, key)

    def _record(self, event: Event, place: Place, outcome: Outcome, look: bool) -> bool:
        """Keep what came of a try; whether the notice is settled by it."""
        about = f"notices to {place.channel or 'the team'}"
        if isinstance(outcome, Later):
            failures = self._failures.get(place.channel, 0)
            self._failures[place.channel] = failures + 1
            self._say(about, f"wait: {outcome.why}")
            wait_s = self._pace.wait_s(outcome, failures)
            doubt = outcome.ambiguous or look
            self._queue.notice_retry(event.id, self._by, wait_s, ambiguous=doubt)
            return False
        self._failures.pop(place.channel, None)
        if isinstance(outcome, Refused):
            fix = f" ({outcome.fix})" if outcome.fix else ""
            self._say(about, f"are not delivered: {outcome.why}{fix}")
            how = f"dead:{outcome.why}"
        else:
            self._say(about, "")
            how = outcome.how
        self._settle(event.id, how, place.channel)
        return True

    def _settle(self, event_id: str, how: str, channel: str = "") -> None:
        self._told[event_id] = how, channel  # said again at the next step if Redis is away now
        gap_s = self._poster.gap_s if how.startswith("sent:") else 0
        self._queue.notice_settle(event_id, how, channel=channel, gap_s=gap_s)
        del self._told[event_id]

    def _story(self, event: Event, place: Place) -> Story:
        run = self._queue.get(event.run)
        failed = event.kind is EventKind.FAILED
        history = self._queue.events(run_id=run.id)
        return Story(
            run=run,
            event=event,
            log=tuple(self._queue.log(run.id)[0]) if failed else (),
            folder=self._folder(run),
            started_over=any(past.kind is EventKind.STARTED_OVER for past in history),
            owner=self._poster.mention(run.user) if failed else "",
            aside=place.aside,
            skipped=self._skipped(run) if event.kind in STOPPED else 0,
        )

    def _skipped(self, run: Run) -> int:
        """How many runs never start because this one did not finish."""
        rows = self._queue.list(states={State.SKIPPED}, limit=SKIPPED_LIMIT)
        gone, more = {run.id}, {run.id}
        while more:
            more = {row.id for row in rows if row.skipped_for in more} - gone
            gone |= more
        return len(gone) - 1

    def _folder(self, run: Run) -> str:
        """As `scp` would name it; the path is known to those who share the runs root."""
        host = run.worker.partition(":")[0]
        ours = run.runs_root == self._runs.id() if run.runs_root else run.worker == self._by
        folder = self._runs.run(run.id).path
        return f"{host}:{folder.resolve() if ours else Path('runs') / run.id}" if host else ""

    def _say(self, about: str, state: str, trace: bool = False) -> None:
        """One line when things change, and silence while they stay as they are."""
        if self._state.get(about, "") == state:
            return
        self._state[about] = state
        if state:
            log.warning("%s %s", about, state, exc_info=trace, extra={"action": "notify"})
        else:
            log.info("%s go out again", about, extra={"action": "notify"})


def poster_of(settings: Settings) -> Poster:
    """The way these settings ask for. A named file wins: it is how one tries trainq out."""
    if settings.slack_file is None and settings.slack_bot_token is not None:
        return Bot(
            settings.slack_bot_token,
            api_url=settings.slack_api_url,
            channel=settings.slack_channel,
            users=user_ids(settings.slack_users),
        )
    if settings.slack_file is None and settings.slack_webhook_url is not None:
        return Webhook(settings.slack_webhook_url, users=user_ids(settings.slack_users))
    return File(settings.slack_file or settings.runs / "notices.jsonl")
