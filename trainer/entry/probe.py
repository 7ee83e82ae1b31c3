"""`python -m trainer.entry.probe`: can this torch compute on the GPU? One JSON line says it."""

import json

import torch


def facts() -> dict[str, object]:
    """What the worker's banner shows; `kernel` says why a one-element kernel failed."""
    found: dict[str, object] = {"torch": torch.__version__, "built_for": torch.cuda.get_arch_list()}
    found["cuda"] = torch.version.cuda or ""
    try:
        major, minor = torch.cuda.get_device_capability()
        found |= {"device": torch.cuda.get_device_name(), "sm": f"sm_{major}{minor}"}
        found["amp"] = "bf16" if major >= 8 else "fp16"  # is_bf16_supported() lies on a V100
        total = float((torch.ones(1, device="cuda") * 2).sum())
        found["kernel"] = "" if total == 2 else f"1 * 2 = {total}"
    except (RuntimeError, AssertionError) as error:
        found["kernel"] = str(error).strip().splitlines()[0]
    return found


if __name__ == "__main__":
    print(json.dumps(facts()))
