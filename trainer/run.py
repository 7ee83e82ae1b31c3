"""The recipe: from a config to a trained model, top to bottom. Knows no queue and no Redis."""

import logging
from pathlib import Path
from typing import Any

from timm.data import resolve_model_data_config

from schemas.config import TrainConfig
from schemas.errors import count
from schemas.events import Chosen, Order
from schemas.rundir import RunDir, RunsRoot
from trainer import checkpoint, machine, start
from trainer.crew import Crew, Solo
from trainer.data import check, course, loader, pixels, sources, split, transforms
from trainer.data.files import Alive
from trainer.data.images import Images
from trainer.data.plan import Plan
from trainer.faults import Leave
from trainer.foresight import foresee
from trainer.learn import evidence, features, layers, model
from trainer.learn.learner import Learner
from trainer.loop import Loop
from trainer.report import Report
from trainer.state import State, Tally

LOG = logging.getLogger(__name__)


def run(
    config: TrainConfig, order: Order, report: Report, leave: Leave, crew: Crew | None = None
) -> None:
    """One attempt. Returns when the run is finished; raises a Fault or Leaving otherwise."""
    crew = crew or Solo()
    run_dir, shared = RunDir(Path(order.run_dir)), RunsRoot(Path(order.runs_root or order.run_dir))
    attempt, data_root = run_dir.attempt(order.token), Path(order.data_root)
    cache_root = Path(order.cache_root or shared.path)

    def alive(doing: str = "") -> None:
        leave.check()
        report.alive(**({"doing": doing} if doing else {}))

    # machine
    report.doing("starting")
    machine.settle_kernels(config.train.deterministic)
    device = machine.device()
    precision = machine.precision(config.train.precision, order.precision, device)
    if crew.leads:
        machine.record(attempt, shared, device)

    # data
    report.doing("reading data")
    images = looked_at(config, data_root, cache_root, shared, alive)
    parts = split.divide(images, config.data.split, config.seed, data_root)
    plan = Plan.of(config, parts, crew)
    tell_of_data(images, parts, shared, report)
    by_size = course.sources(config, images, cache_root, alive)
    if order.foresee and crew.leads:  # nobody made a pre-flight
        foresee.first(config, order, len(images.classes), report)

    # model
    found = start.choose(order, config, plan, images.digest, alive)
    report.doing("building the model")
    spec, size = model.bare(config.model) if found else config.model, config.data.extent
    net = model.build(spec, images.classes, size, data_root, config.seed)
    # mean, std and interpolation are those of the model's own pretraining
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    learner = Learner(
        config,
        machine.place(net, device, config.train.compile),
        plan,
        len(images.classes),
        device=device,
        precision=precision,
        micro_batch=at_once(config, order, crew),
        crew=crew,
        normal=transforms.Normal(look, device, config.model.in_chans),
    )
    tell_of_model(learner, report, found.origin if found else checkpoint.origin(net.state_dict()))

    # where to begin
    state = State(Tally(device))
    shelf = checkpoint.Shelf(attempt, keeps=crew.leads, fence=leave.fence)
    if found:
        start.begin(found, learner, state, shelf, config.evaluate)
    crew.insist("where to begin", (images.digest, state.step))
    steps, epochs = plan.steps, plan.epochs
    report.begin(
        state.rows, state.best, step=state.step, steps=steps, epoch=state.epoch, epochs=epochs
    )

    # learn
    pictures = loader.Pictures(images, course.course(config, by_size, look), config.seed)
    shown = features.instead(config, pictures, plan, learner, alive)
    workers, where = config.data.workers, {"epoch": state.epoch, "step": state.step}
    batches = loader.read(shown, plan, workers, device, **where)
    facts = said_by_checkpoints(config, order, images, report)
    loop = Loop(config, images, plan, learner, state, shelf, run_dir, facts, report, leave)
    with evidence.kept(attempt, pictures, plan):
        loop.run(batches)

    # finish
    if crew.leads:
        report.doing("finishing")
        publish(shelf, learner, run_dir, report)


def looked_at(
    config: TrainConfig, data_root: Path, cache_root: Path, shared: RunsRoot, alive: Alive
) -> Images:
    """The images of a config, each of them seen; what is of no use to it ends here."""
    data = config.data
    images = sources.read(data, data_root).to_learn(config.model.answers)
    foresee.insist_on_smaller(config, len(images.classes))
    return check.checked(images, data.on_bad, shared, alive, pixels.look(data, cache_root))


def at_once(config: TrainConfig, order: Order, crew: Crew) -> int:
    """How many images go through the model together, at first."""
    batch = config.data.batch_size
    return min(order.micro_batch or batch // config.train.accumulate, batch // crew.size)


def publish(shelf: checkpoint.Shelf, learner: Learner, run_dir: RunDir, report: Report) -> None:
    """The best weights get their final names, and the result says which they are."""
    best = shelf.publish_best() / checkpoint.WEIGHTS
    report.facts |= {
        "weights": run_dir.relative(best),
        "weights_sha256": checkpoint.checksum(best),
        "final_weights_sha256": checkpoint.fingerprint(learner.weights()),
    }
    LOG.info("finished, the best weights are in %s", best)


# ---- what is told --------------------------------------------------------------------------------


def tell_of_data(images: Images, parts: split.Parts, shared: RunsRoot, report: Report) -> None:
    report.facts |= {
        "data": images.digest,
        "split": split.keep(images, parts, shared),
        "skipped_images": len(images.bad),
    }
    LOG.info(
        "data: %s of %s classes, %s train, %s validate",
        count(len(images.paths), "image"),
        len(images.classes),
        len(parts.train),
        len(parts.validate),
    )


def tell_of_model(learner: Learner, report: Report, origin: str) -> None:
    net, precision, micro_batch = learner.model, learner.precision, learner.micro_batch
    layers.tell(learner.config.model, net)
    where, others = machine.describe(learner.device), learner.crew.size - 1
    where += f" and {others} more" if others else ""
    LOG.info("trains on %s in %s, %s at a time", where, precision, micro_batch)
    report.tell(Chosen(precision=precision, micro_batch=micro_batch))
    report.facts |= {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "precision": precision,
        "micro_batch": micro_batch,
        "device": where,
        "origin": origin,
    }


def said_by_checkpoints(
    config: TrainConfig, order: Order, images: Images, report: Report
) -> dict[str, Any]:
    """Whose they are, for people and for later attempts."""
    same = {key: report.facts[key] for key in ("precision", "micro_batch", "device", "origin")}
    return {
        "config": config.canonical(),
        "digest": config.digest(),
        "data": images.digest,
        "classes": images.classes,
        "token": order.token,
        **same,
    }
