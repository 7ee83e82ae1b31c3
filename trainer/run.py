"""The recipe: from a config to a trained model, top to bottom. Knows no queue and no Redis."""

import logging
from pathlib import Path

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
from trainer.loop import Loop, State, Tally
from trainer.report import Report

LOG = logging.getLogger(__name__)


def run(
    config: TrainConfig, order: Order, report: Report, leave: Leave, crew: Crew | None = None
) -> None:
    """One attempt. Returns when the run is finished; raises a Fault or Leaving otherwise."""
    crew = crew or Solo()
    run_dir, shared = RunDir(Path(order.run_dir)), RunsRoot(Path(order.runs_root or order.run_dir))
    attempt, data_root, cache_root = (
        run_dir.attempt(order.token),
        Path(order.data_root),
        Path(order.cache_root or shared.path),
    )

    def alive(**progress: str) -> None:
        leave.check()
        report.alive(**progress)

    # machine
    report.doing("starting")
    machine.settle_kernels(config.train.deterministic)
    device = machine.device()
    precision = machine.precision(config.train.precision, order.precision, device)
    micro_batch = min(
        order.micro_batch or config.data.batch_size // config.train.accumulate,
        config.data.batch_size // crew.size,
    )
    if crew.leads:
        machine.record(attempt, shared, device)

    # data
    report.doing("reading data")
    images = looked_at(config, data_root, cache_root, shared, lambda what: alive(doing=what))
    parts = split.divide(images, config.data.split, config.seed, data_root)
    plan = Plan.of(config, parts, crew)
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

    by_size = course.sources(config, images, cache_root, lambda what: alive(doing=what))

    # pre-flight, where nobody made one
    if order.foresee and crew.leads:
        foresee.first(config, order, len(images.classes), report)

    # model
    found = start.choose(order, config, plan, images.digest, alive)
    report.doing("building the model")
    net = model.build(
        config.model if found is None else start.bare(config.model),
        images.classes,
        config.data.extent,
        data_root,
        config.seed,
    )
    # mean, std and interpolation are those of the model's own pretraining
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    learner = Learner(
        config,
        machine.place(net, device, config.train.compile),
        plan,
        len(images.classes),
        device=device,
        precision=precision,
        micro_batch=micro_batch,
        crew=crew,
        normal=transforms.Normal(look, device, config.model.in_chans),
    )
    layers.tell(config.model, net)
    where = machine.describe(device) + (f" and {crew.size - 1} more" if crew.size > 1 else "")
    LOG.info("trains on %s in %s, %s at a time", where, precision, micro_batch)
    report.tell(Chosen(precision=precision, micro_batch=micro_batch))
    report.facts |= {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "precision": precision,
        "micro_batch": micro_batch,
        "device": where,
        "origin": found.origin if found else checkpoint.origin(net.state_dict()),
    }

    # where to begin
    state, shelf = State(Tally(device)), checkpoint.Shelf(attempt, keeps=crew.leads)
    if found:
        start.begin(found, learner, state, shelf, config.evaluate)
    crew.insist("where to begin", (images.digest, state.step))
    report.begin(
        state.rows,
        state.best,
        step=state.step,
        steps=plan.steps,
        epoch=state.epoch,
        epochs=plan.epochs,
    )

    # learn
    pictures = loader.Pictures(images, course.course(config, by_size, look), config.seed)
    shown = features.instead(config, pictures, plan, learner, lambda what: alive(doing=what))
    batches = loader.read(
        shown, plan, config.data.workers, device, epoch=state.epoch, step=state.step
    )
    facts = {
        "config": config.canonical(),
        "digest": config.digest(),
        "data": images.digest,
        "classes": images.classes,
        "token": order.token,
        **{key: report.facts[key] for key in ("precision", "micro_batch", "device", "origin")},
    }
    with evidence.kept(attempt, pictures, plan):
        Loop(config, images, plan, learner, state, shelf, run_dir, facts, report, leave).run(
            batches
        )

    # finish
    if not crew.leads:
        return
    report.doing("finishing")
    best = shelf.publish_best() / checkpoint.WEIGHTS
    report.facts |= {
        "weights": run_dir.relative(best),
        "weights_sha256": checkpoint.checksum(best),
        "final_weights_sha256": checkpoint.fingerprint(learner.weights()),
    }
    LOG.info("finished, the best weights are in %s", best)


def looked_at(
    config: TrainConfig, data_root: Path, cache_root: Path, shared: RunsRoot, alive: Alive
) -> Images:
    """The images of a config, each of them seen; what is of no use to it ends here."""
    data = config.data
    images = sources.read(data, data_root).to_learn(config.model.answers)
    foresee.insist_on_smaller(config, len(images.classes))
    return check.checked(images, data.on_bad, shared, alive, pixels.look(data, cache_root))
