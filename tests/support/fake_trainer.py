"""A trainer without torch: the real protocol (order, beats, lines, result, exit codes), fake work.

The config's `note` says how it behaves, as `word` or `key=number`: steps=40 step_s=0.02 save=5
die (SIGKILL before the first step) crash=7 (exit 1) code=4 at=7 (that exit code there) kill=7
(SIGKILL to itself) hang=7 deaf (ignores SIGTERM) slow_save=0.5 orphan (leaves a process in another
session) noresult gate=12 (after that step it waits for a file `go-on` in the run folder); `first`
limits the mischief to the first attempt. Every step is a line in the run folder's steps.log.
"""

import ctypes
import faulthandler
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

SAVED = 75
CAUSES = {1: "code", 2: "config", 3: "data", 4: "cuda_oom", 5: "diverged"}


class Fake:
    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.leave = threading.Event()
        self.order: dict = {}

    def say(self, kind: str, **fields: object) -> None:
        os.write(self.pipe, json.dumps({"kind": kind, **fields}).encode() + b"\n")

    def begin(self) -> None:
        self.order = json.loads(_first_line())
        self.attempt = Path(self.order["attempt_dir"])
        self.run_dir = Path(self.order["run_dir"])
        log = os.open(self.attempt / "run.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(self.order["env"])
        os.chdir(self.attempt)
        self.wants = _note((self.run_dir / "config.yaml").read_text())
        if self.wants.get("first") and not self.order["token"].startswith("1-"):
            keep = ("steps", "step_s", "save")
            self.wants = {key: self.wants[key] for key in keep if key in self.wants}
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        ignored = self.wants.get("deaf")
        signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else lambda *_: self.leave.set())
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        """Beats: whether something is readable is looked at before the clock."""
        silence_s = self.order["silence_s"]
        heard = time.monotonic()
        while True:
            gone = False
            if select.select([0], [], [], silence_s / 20)[0]:
                words = os.read(0, 4096)
                if b"F" in words:
                    os._exit(SAVED)
                if words:
                    heard = time.monotonic()
                    continue
                gone = True
            if gone or time.monotonic() - heard > silence_s:
                self.leave.set()
                time.sleep(max(0, heard + 1.25 * silence_s - time.monotonic()))
                os._exit(SAVED)

    def train(self) -> int:
        wants, steps = self.wants, int(self.wants.get("steps", 10))
        step = 0
        if resume := self.order["resume"]:
            step = json.loads((Path(resume) / "meta.json").read_text())["step"]
        self.say("chosen", precision="fp32", micro_batch=self.order["micro_batch"] or 32)
        print(f"begin at step {step}", flush=True)
        print(f"data in {self.order['data_root']}", flush=True)
        if wants.get("orphan"):
            subprocess.Popen(["sleep", "600"], start_new_session=True)
        if wants.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.order["kind"] == "gather":
            return self.end(0, step, **self.gathered())
        while step < steps:
            time.sleep(wants.get("step_s", 0.02))
            step += 1
            self.record(step)
            self.wait_at_gate(step)
            self.misbehave(step)
            if step % int(wants.get("save", 5)) == 0 or self.leave.is_set():
                self.save(step)
            if self.leave.is_set():
                return self.end(SAVED, step)
        self.say("epoch", epoch=1, step=step, metrics={"accuracy": 0.9}, best=self.best())
        return 0 if wants.get("noresult") else self.end(0, step)

    def record(self, step: int) -> None:
        line = json.dumps({"token": self.order["token"], "step": step, "at": time.time()})
        with (self.run_dir / "steps.log").open("a") as file:
            file.write(line + "\n")
        self.say("alive", progress=self.progress(step))
        print(f"step {step}", flush=True)

    def progress(self, step: int) -> dict:
        steps = int(self.wants.get("steps", 10))
        return {"step": step, "steps": steps, "epoch": 0, "epochs": 1, "doing": "training"}

    def misbehave(self, step: int) -> None:
        wants = self.wants
        if step == wants.get("crash"):
            raise RuntimeError("it was told to crash")
        if step == wants.get("at"):
            sys.exit(self.end(int(wants["code"]), step))
        if step == wants.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if step == wants.get("hang"):
            while True:
                time.sleep(1)

    def wait_at_gate(self, step: int) -> None:
        """Until somebody opens it, or asks us to leave."""
        while step == self.wants.get("gate") and not (self.run_dir / "go-on").exists():
            if self.leave.wait(0.05):
                return
            self.say("alive", progress=self.progress(step))

    def save(self, step: int) -> None:
        folder = self.attempt / "checkpoints" / f"step-{step}"
        temporary = folder.with_name(f".{folder.name}.tmp")
        temporary.mkdir()
        meta = json.dumps({"step": step})
        (temporary / "meta.json").write_text(meta)
        sums = {"meta.json": hashlib.sha256(meta.encode()).hexdigest()}
        (temporary / "manifest.json").write_text(json.dumps(sums))
        time.sleep(self.wants.get("slow_save", 0))
        temporary.replace(folder)
        self.say("saved", path=folder.relative_to(self.run_dir).as_posix(), step=step)

    def best(self) -> dict:
        return {"metric": "accuracy", "value": 0.9, "epoch": 1}

    def gathered(self) -> dict:
        """No statistics: only what the worker has handed over."""
        parts = self.order["parts"]
        found = [part["metrics"]["accuracy"] for part in parts if part["state"] == "finished"]
        text = ", ".join(f"{part['fold']}: {part['state']}" for part in parts)
        return {"metrics": {"accuracy": sum(found) / len(found)}, "facts": {"text": text}}

    def end(self, code: int, step: int, **more: object) -> int:
        fine = code in (0, SAVED)
        result = {
            "token": self.order["token"],
            "exit_code": code,
            "cause": CAUSES.get(code),
            "error": "" if fine else f"told to end with {code}",
            "step": step,
            "best": self.best() if code == 0 else None,
            "metrics": {"accuracy": 0.9} if code == 0 else {},
            "facts": {"split": "s1", "data": "d1"},
            **more,
        }
        temporary = self.attempt / ".result.tmp"
        temporary.write_text(json.dumps(result))
        temporary.replace(self.attempt / "result.json")
        return code


def _first_line() -> bytes:
    """Byte by byte: what follows are beats, which are not ours to buffer."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(SAVED)
        line += byte
    return line


def _note(config: str) -> dict[str, float]:
    note = next((row for row in config.splitlines() if row.startswith("note: ")), "note: ")
    words = note.removeprefix("note: ").strip("'\"").split()
    pairs = (word.partition("=") for word in words)
    return {key: float(value) if value else 1.0 for key, _, value in pairs}


def main() -> int:
    parent = int(sys.argv[sys.argv.index("--parent") + 1])
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        return SAVED
    pipe = os.dup(1)
    os.set_inheritable(pipe, False)
    os.dup2(2, 1)
    fake = Fake(pipe)
    fake.say("warm", torch="none")
    fake.begin()
    return fake.train()


if __name__ == "__main__":
    sys.exit(main())
