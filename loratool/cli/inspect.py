"""loratool inspect"""

from __future__ import annotations

import click

from ..adapter.adapter import Adapter
from ..errors import InputError, LoratoolError, Unsound, UsageError
from ..inspection.inspect import Inspection, inspect, with_weights
from ..report import envelope, plain
from ..report.sanitise import clean
from . import options
from .console import Out
from .inputs import expand


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
    found, errors = _inspect_all(paths, layers, out.settings.workers if weights else 0)
    code = _exit_code(errors, len(paths))
    if out.is_json:
        out.json([what.document() if isinstance(what, Inspection) else envelope.failed(path, what)
                  for path, what in found], errors, code)
    elif keys or metadata_key is not None:
        _print_raw(out, paths, metadata_key if not keys else None)
    else:
        _print(out, found, layers)
    for error in errors:
        out.error(error)
    return code


Found = list[tuple[str, Inspection | LoratoolError]]


def _inspect_all(paths: list[str], layers: bool, weigh_with: int) -> tuple[Found, list[LoratoolError]]:
    found: Found = []
    errors: list[LoratoolError] = []
    for path in paths:
        try:
            with Adapter.open(path) as adapter:
                found.append((path, _weighed(adapter, inspect(adapter, layers), weigh_with)))
        except InputError as error:
            found.append((path, error))
            errors.append(error)
    return found, errors


def _weighed(adapter: Adapter, found: Inspection, threads: int) -> Inspection:
    """With what the weights say, when ``threads`` workers are to read them."""
    if not threads:
        return found
    from ..inspection.weights import weigh

    try:
        weights = weigh(adapter, threads)
    except Unsound:
        # The findings of the header say what is wrong; the rest of the answer still holds.
        return found
    return with_weights(found, weights) if weights else found


def _exit_code(errors: list[LoratoolError], count: int) -> int:
    if not errors:
        return 0
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(errors) == count and len(codes) == 1 else 1


def _print(out: Out, found: Found, layers: bool) -> None:
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


def _print_raw(out: Out, paths: list[str], metadata_key: str | None) -> None:
    """Keys or metadata as they are, made safe for a terminal."""
    for path in paths:
        try:
            with Adapter.open(path) as adapter:
                out.lines(_key_lines(adapter) if metadata_key is None else _metadata_lines(adapter, metadata_key))
        except InputError:
            continue  # reported once already


def _key_lines(adapter: Adapter) -> list[str]:
    return [f"{info.dtype}\t{'x'.join(map(str, info.shape)) or 'scalar'}\t{clean(info.name, 1000)}"
            for source in adapter.sources for info in source.file.header.in_file_order()]


def _metadata_lines(adapter: Adapter, key: str) -> list[str]:
    if key:
        if key not in adapter.metadata:
            raise UsageError("the metadata has no such key", path=adapter.path, key=key)
        return [clean(adapter.metadata[key], 1 << 24)]
    return [f"{clean(k)}: {clean(v)}" for k, v in sorted(adapter.metadata.items())]


