"""From a claimed run to an order for a trainer: folders, config, and where to resume.

Knows the run folder and records; no process, no Redis.
"""

from dataclasses import dataclass
from pathlib import Path

from queue_worker.attempts.outcome import read_result
from schemas.events import ExitCode, Order, Part
from schemas.result import Result
from schemas.run import ID_PATTERN, TOKEN_PATTERN, Run, State
from schemas.rundir import AttemptDir, RunDir, RunsRoot, write_atomic
from schemas.settings import Settings
from schemas.writing import dump


@dataclass(frozen=True, slots=True)
class Prepared:
    """An attempt that could begin now."""

    order: Order
    folder: AttemptDir
    done: Result | None  # the work is done already: an attempt finished, but could not say so

    @property
    def began_at(self) -> int:
        """The step at which the trainer begins, by the name of its checkpoint."""
        step = Path(self.order.resume or self.order.init_from).name.rpartition("-")[2]
        return int(step) if step.isdigit() else 0


def prepare(
    run: Run,
    token: str,
    root: RunsRoot,
    settings: Settings,
    parts: tuple[Part, ...] = (),
    gpu_memory_mb: int = 0,
) -> Prepared:
    """Make the run's and the attempt's folder and say what the trainer is to do."""
    if not ID_PATTERN.match(run.id):
        raise ValueError(f"{run.id!r} is no run id")
    run_dir = root.run(run.id)
    done = finished_before(run_dir, run)
    folder = run_dir.make_attempt(token)
    write_atomic(run_dir.config, dump(run.config))
    resume = _inside(run_dir.path, run.checkpoint) if run.runs_root == root.id() else ""
    order = Order(
        run=run.id,
        token=token,
        name=run.name,
        batch=run.batch,
        kind=run.kind,
        parts=parts,
        gpus=run.gpus,
        run_dir=str(run_dir.path.absolute()),
        attempt_dir=str(folder.path.absolute()),
        data_root=str(settings.data.absolute()),
        cache_root=str(settings.cache.expanduser().absolute()),
        runs_root=str(root.path.absolute()),
        resume=resume,
        init_from="" if resume else _inside(root.path, run.start_from),
        micro_batch=run.micro_batch,
        precision=run.precision,
        foresee=bool(gpu_memory_mb) and run.kind == "train" and not run.preflight and not resume,
        memory_mb=run.memory_mb,
        gpu_memory_mb=gpu_memory_mb,
        silence_s=settings.silence_s,
    )
    return Prepared(order, folder, done)


def part_of(run: Run) -> Part:
    """A run as a gather run is told of it."""
    told = run.result if run.state is State.FINISHED else {}
    split = run.config.get("data", {}).get("split", {})
    return Part(
        run=run.id,
        state=run.state,
        fold=run.fold,
        folds=split.get("folds", 0) if run.fold is not None else 0,
        metric=run.best.metric if run.best else "",
        metrics={name: value for name, value in told.items() if isinstance(value, int | float)},
        weights=str(told.get("weights", "")),
        split=str(told.get("split", "")),
        data=run.data_fingerprint,
    )


def finished_before(run_dir: RunDir, run: Run) -> Result | None:
    """The result of the newest attempt in the folder, if that one had only its end to tell. Its
    number may be higher than ours: the queue may have been restored from an older backup.
    """
    before = [folder for folder in attempts(run_dir) if folder.path.name != run.token]
    if not before:
        return None
    newest = before[-1]
    result, _ = read_result(read(newest.result), newest.path.name)
    return result if result and result.exit_code == ExitCode.FINISHED else None


def read(path: Path) -> bytes | None:
    """The bytes of a file, None when there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def attempts(run_dir: RunDir) -> list[AttemptDir]:
    """The attempts of a run on this disk, oldest first."""
    if not run_dir.attempts.is_dir():
        return []
    tokens = [entry.name for entry in run_dir.attempts.iterdir() if TOKEN_PATTERN.match(entry.name)]
    return [run_dir.attempt(token) for token in sorted(tokens, key=number)]


def number(token: str) -> tuple[int, str]:
    """Attempts in the order in which they were claimed."""
    count, _, nonce = token.partition("-")
    return int(count), nonce


def _inside(folder: Path, name: str) -> str:
    """The absolute path that a record names, which must not lead out of its folder."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} points out of {folder}")
    return str((folder / name).absolute()) if name else ""
