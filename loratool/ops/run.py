"""Execute a Plan: read, compute, write layer by layer, certify, give the file its name.

The only way that the command line and the Python API take. Each layer is computed from the rounded
factors it writes, so that its error is that of the file; the file is then read back, hashed and
opened with two parsers before success is reported.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ..adapter.adapter import COMPONENT_FOLDERS
from ..errors import Refused, Unsound
from ..metadata import peft
from ..naming.blocks import block
from ..tensors.place import PREFIX, Placement, reason, sync_folder
from ..tensors.policy import Policy
from ..tensors.writer import TensorSpec, Writer, Written, official_order
from . import folder, stamp
from .configured import config_file, has_bias
from .plan import Carried, OutLayer, Plan, Produced, Report, Result

Progress = Callable[[int, int], None]
_QUALIFIERS = {name + "." for name in COMPONENT_FOLDERS}


@dataclass(frozen=True)
class _File:
    """One file of the output: "" for a single file, else its path in the folder."""

    name: str
    qualifier: str
    specs: list[TensorSpec]
    layers: list[OutLayer]
    carried: list[Carried]

    def inside(self, key: str) -> str:
        return key.removeprefix(self.qualifier)


def execute(plan: Plan, target: str, policy: Policy, threads: int = 1,
            progress: Progress | None = None) -> Result:
    """Write the plan's output to ``target``; nothing is left behind when it fails.

    Raises what Placement and Writer raise, and Unsound for weights that are not finite.
    """
    files = _files(plan)
    inputs = [source.file.identity for adapter in plan.inputs for source in adapter.sources]
    if plan.folder:
        folder.require_replaceable(target, policy, [adapter.path for adapter in plan.inputs])
        return _execute_folder(plan, files, target, threads, progress)
    _must_stand_alone(target)
    placement = Placement(target, policy, inputs)
    reports, identical, size = _write(plan, files[0], placement, threads, progress)
    return _result(plan, target, size, reports, identical)


def _must_stand_alone(target: str) -> None:
    """A configuration beside the file would give it another alpha."""
    place, name = os.path.split(target)
    if name == peft.MODEL_NAME and os.path.isfile(os.path.join(place, peft.CONFIG_NAME)):
        raise Refused("its alpha is in the adapter_config.json beside it, which would no longer fit", path=target,
                      hint="Give the folder instead of the file, and another folder with -o.")


def size_of(plan: Plan) -> int:
    """The size of the output to the byte."""
    size = 0
    for file in _files(plan):
        size += Writer(_NOWHERE, file.specs, _metadata(plan, file)).size
        size += len(_config(plan, file).encode()) if plan.folder else 0
    return size


def preview(plan: Plan, target: str) -> Result:
    """What ``execute`` would write: the size to the byte, and the error that the spectra predict."""
    reports = [replace(layer.predicted or Report(layer.stem, 0, layer.rank), block=block(layer.address))
               for layer in plan.layers]
    return replace(_result(plan, target, size_of(plan), reports, None), dry_run=True)


class _Nowhere:
    target = ""


_NOWHERE: Placement = _Nowhere()  # type: ignore[assignment]


def _files(plan: Plan) -> list[_File]:
    if not plan.folder:
        return [_file("", "", plan, list(plan.layers), list(plan.carried))]
    made = []
    qualifiers = {_qualifier(layer.stem) for layer in plan.layers} | {_place(c) for c in plan.carried}
    for qualifier in sorted(qualifiers):
        name = os.path.join(qualifier.rstrip("."), peft.MODEL_NAME)
        made.append(_file(name, qualifier, plan,
                          [layer for layer in plan.layers if _qualifier(layer.stem) == qualifier],
                          [c for c in plan.carried if _place(c) == qualifier]))
    return made


def _qualifier(stem: str) -> str:
    """The component before PEFT's wrapper; "" for what names none. A key is a stranger's text, never a path."""
    head, marker, _ = stem.partition(peft.WRAPPER)
    return head if marker and head in _QUALIFIERS else ""


def _place(carried: Carried) -> str:
    """A key that names no component stays in the file that it was in."""
    return _qualifier(carried.name) or carried.source.qualifier


def _file(name: str, qualifier: str, plan: Plan, layers: list[OutLayer], carried: list[Carried]) -> _File:
    specs = {s.name: s for layer in layers for s in layer.tensors} | {c.name: c.spec for c in carried}
    kept = [specs.pop(key) for key in plan.order if key in specs]
    ordered = [replace(s, name=s.name.removeprefix(qualifier)) for s in kept + official_order(specs.values())]
    return _File(name, qualifier, ordered, layers, carried)


def _metadata(plan: Plan, file: _File) -> dict[str, str]:
    return stamp.follow(plan.metadata, file.layers, plan.recipe) | dict(plan.fixed)


def _write(plan: Plan, file: _File, placement: Placement, threads: int,
           progress: Progress | None) -> tuple[list[Report], bool | None, int]:
    metadata = _metadata(plan, file)
    with Writer(placement, file.specs, metadata) as writer:
        reports, late = _compute(writer, plan, file, threads, progress)
        identical: list[bool] = []

        def finish(written: Written) -> Mapping[str, str]:
            found = stamp.hashes(metadata, file.specs, written) | late
            if plan.recipe is not None:
                found |= stamp.certificate(*_totals(reports))
            if plan.compare_content:
                identical.append(stamp.content_of_written(file.specs, written) == plan.compare_content)
            return found

        writer.commit(finish)
        return reports, (identical[0] if identical else None), writer.size


def _compute(writer: Writer, plan: Plan, file: _File, threads: int,
             progress: Progress | None) -> tuple[list[Report], dict[str, str]]:
    """Compute and put every tensor; the inputs are hashed by the same workers meanwhile."""
    jobs: list[Callable[[], Produced]] = [layer.compute for layer in file.layers]
    jobs += [_copier(carried) for carried in file.carried]

    def work(job: Callable[[], Produced]) -> Report | None:
        try:
            produced = job()
        except Unsound as error:
            error.at(plan.inputs[0].path)
            raise
        for key, data in produced.tensors.items():
            writer.put(file.inside(key), data)
        return produced.report

    reports: list[Report] = []
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            late = {key: pool.submit(find) for key, find in plan.late.items()}
            for done, report in enumerate(pool.map(work, jobs), 1):
                if report is not None:
                    reports.append(report)
                if progress:
                    progress(done, len(jobs))
            return reports, {key: found.result() for key, found in late.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _copier(carried: Carried) -> Callable[[], Produced]:
    return lambda: Produced({carried.name: carried.raw()})


def _execute_folder(plan: Plan, files: list[_File], target: str, threads: int,
                    progress: Progress | None) -> Result:
    """Fill a hidden folder beside the target, then rename it."""
    target = target.rstrip("/\\")
    parent = os.path.dirname(os.path.abspath(target))
    hidden = os.path.join(parent, f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    reports: list[Report] = []
    size = 0
    try:
        os.mkdir(hidden)
        for file in files:
            path = os.path.join(hidden, file.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            found, _, written = _write(plan, file, Placement(path), threads, progress)
            reports, size = reports + found, size + written
            size += folder.write_text(os.path.join(os.path.dirname(path), peft.CONFIG_NAME), _config(plan, file))
        folder.swap(hidden, target)
        sync_folder(parent, target)
    except OSError as error:
        raise reason(error, target) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return _result(plan, target, size, reports, None)


def _config(plan: Plan, file: _File) -> str:
    """The configuration of one of the folder's files; what the first input's says besides ranks is kept."""
    before = {source.qualifier: source.config_text for source in plan.inputs[0].sources}
    return config_file(file.layers, plan.model, before.get(file.qualifier) if plan.inputs[0].is_folder else None,
                       has_bias(file.carried))


def _totals(reports: Sequence[Report]) -> tuple[float, float]:
    """Relative error and optimum of the whole update; 0 where every layer is exact."""
    error = math.sqrt(sum(r.error ** 2 for r in reports))
    optimum = math.sqrt(sum(r.optimum ** 2 for r in reports))
    if error == 0.0 and optimum == 0.0:
        return 0.0, 0.0
    norms = [r.norm if r.norm is not None else r.measure() if r.measure else 0.0 for r in reports]
    whole = math.sqrt(sum(n ** 2 for n in norms))
    return (error / whole, optimum / whole) if whole else (0.0, 0.0)


def _result(plan: Plan, target: str, size: int, reports: Sequence[Report], identical: bool | None) -> Result:
    error, optimum = _totals(reports)
    return Result(plan.command, tuple(a.path for a in plan.inputs), target, size, plan.family, plan.dialect,
                  error, optimum, all(r.exact for r in reports), tuple(reports), tuple(plan.notes), identical,
                  plan.conflict)
