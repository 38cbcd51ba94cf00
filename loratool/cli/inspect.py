"""loratool inspect"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from ..adapter.adapter import Adapter
from ..errors import InputError, UsageError
from ..inspection.inspect import Inspection, inspect, with_weights
from ..report import envelope, plain
from ..report.sanitise import clean
from . import options
from .console import Out, complain
from .inputs import expand, joint_code


@click.command("inspect", short_help="What a file is.")
@options.reads
@click.option("--layers", is_flag=True, help="List every layer: shape, rank, alpha.")
@click.option("--weights", is_flag=True, help="Read the weights: norms, spectra, blocks, how small it could be.")
@click.option("--keys", is_flag=True, help="List every tensor: dtype, shape, key.")
@click.option("--metadata", "metadata_key", is_flag=False, flag_value="", metavar="[KEY]",
              help="Print the metadata, or the value of one KEY.")
@options.shows("inspect", computes="weights")
def command(files: tuple[str, ...], recursive: bool, null: bool, layers: bool, weights: bool, keys: bool,
            metadata_key: str | None, out: Out) -> int:
    """Say what each FILE is: base model, dialect, algorithm, rank, alpha, trigger, health.

    Reads the header only; a file of any size takes a moment. With --weights also the weights. Exits 0
    for whatever could be read.

    \b
    loratool inspect fixtures/sdxl_landscape.safetensors
    loratool inspect fixtures -r
    loratool inspect --weights fixtures/sdxl_landscape.safetensors
    loratool inspect --json fixtures/flux1_digits.safetensors
    loratool inspect fixtures/sdxl_landscape.safetensors --metadata ss_network_dim
    """
    if sum((layers, keys, metadata_key is not None)) > 1:
        raise UsageError("--layers, --keys and --metadata exclude one another")
    paths = expand(files, recursive, null)
    if (keys or metadata_key is not None) and not out.is_json:
        errors, code = _ending(_each(paths, lambda adapter: out.lines(
            _key_lines(adapter) if keys else _metadata_lines(adapter, metadata_key or ""))))
    else:
        threads = out.settings.workers if weights else 0
        listed = layers or (weights and out.is_json)
        found = _each(paths, lambda adapter: _weighed(adapter, inspect(adapter, listed), threads))
        errors, code = _ending(found)
        if out.is_json:
            out.json([envelope.failed(path, what) if isinstance(what, InputError) else what.document()
                      for path, what in found], errors, code)
        else:
            _print(out, found, layers)
    for error in errors:
        complain(error)
    return code


T = TypeVar("T")
Found = Sequence[tuple[str, T | InputError]]


def _each(paths: list[str], look: Callable[[Adapter], T]) -> Found[T]:
    """What ``look`` makes of each adapter; one that cannot be read does not hide the others."""
    found: list[tuple[str, T | InputError]] = []
    for path in paths:
        try:
            with Adapter.open(path) as adapter:
                found.append((path, look(adapter)))
        except InputError as error:
            error.at(path)
            found.append((path, error))
    return found


def _ending(found: Found[T]) -> tuple[list[InputError], int]:
    """The errors, and the exit code of all."""
    errors = [what for _, what in found if isinstance(what, InputError)]
    return errors, joint_code(what.exit_code if isinstance(what, InputError) else 0 for _, what in found)


def _weighed(adapter: Adapter, found: Inspection, threads: int) -> Inspection:
    """With what the weights say, when ``threads`` workers are to read them."""
    if not threads:
        return found
    from ..inspection.weights import weigh

    weights = weigh(adapter, threads)
    return with_weights(found, weights) if weights else found


def _print(out: Out, found: Found[Inspection], layers: bool) -> None:
    good = [what for _, what in found if isinstance(what, Inspection)]
    if out.quiet:
        out.lines(clean(what.path, 4096) for what in good)
    elif len(found) == 1 and good:
        if out.format == "plain":
            out.lines(plain.inspection(good[0]) if not layers else _layer_rows(good[0]))
        else:
            from ..report import text

            out.screen(text.layers(good[0]) if layers else text.inspection(good[0]))
    elif len(found) > 1:
        rows = [(path, what if isinstance(what, Inspection) else what.message) for path, what in found]
        if out.format == "plain":
            out.lines(plain.inspection_rows(rows))
        else:
            from ..report import text

            out.screen(text.inspection_rows(rows, text.console(out.settings.color).width))


def _layer_rows(found: Inspection) -> list[str]:
    rows = ["layer\tshape\trank\talpha"]
    for layer in found.layers or ():
        shape = "x".join(map(str, layer.get("shape", ())))
        rows.append(f"{clean(layer['name'])}\t{shape}\t{layer.get('rank', '')}\t{layer.get('alpha', '')}")
    return rows


def _key_lines(adapter: Adapter) -> list[str]:
    return [f"{info.dtype}\t{'x'.join(map(str, info.shape)) or 'scalar'}\t{clean(info.name, 1000)}"
            for source in adapter.sources for info in source.file.header.in_file_order()]


def _metadata_lines(adapter: Adapter, key: str) -> list[str]:
    if key:
        if key not in adapter.metadata:
            raise UsageError("the metadata has no such key", path=adapter.path, key=key)
        return [clean(adapter.metadata[key], 1 << 24)]
    return [f"{clean(k)}: {clean(v)}" for k, v in sorted(adapter.metadata.items())]


