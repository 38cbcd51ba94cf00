"""Screens for people, through rich. No meaning by colour alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..checks.run import Verdict
from ..inspection.inspect import Inspection
from ..ops.plan import Conflict, Result
from .facts import ROW_TITLES, Fact, facts, row, size
from .results import ranks_per_block
from .sanitise import clean

STATE_STYLES = {"ok": "green", "warn": "yellow", "broken": "red", "unreadable": "red"}
SHOWN_PER_RULE = 5
COLUMN_WIDTHS = {"base": 7, "adapter": 7, "rank": 5, "trigger": 11, "size": 8, "health": 6}


def console(color: str, width: int | None = None) -> Console:
    """``color`` is auto, always or never; NO_COLOR and FORCE_COLOR are rich's own."""
    return Console(highlight=False, markup=False, emoji=False, width=width, soft_wrap=False,
                   no_color=True if color == "never" else None, force_terminal=True if color == "always" else None)


def inspection(found: Inspection) -> Iterator[RenderableType]:
    yield Text(clean(found.path, 4096), style="bold")
    yield _grid(facts(found))


def _grid(rows: Sequence[Fact]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for fact in rows:
        grid.add_row(fact.label, Text(fact.value, style=STATE_STYLES.get(fact.state, "")))
        for why in fact.why:
            grid.add_row("", Text(why, style="dim"))
    return grid


def inspection_rows(found: Sequence[tuple[str, Inspection | str]], width: int) -> Iterator[RenderableType]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    fixed = sum(COLUMN_WIDTHS.values()) + 2 * len(COLUMN_WIDTHS)
    table.add_column("file", overflow="ellipsis", no_wrap=True, width=max(16, min(48, width - fixed)))
    for title in ROW_TITLES:
        table.add_column(title, overflow="ellipsis", no_wrap=True, width=COLUMN_WIDTHS[title],
                         justify="right" if title in ("rank", "size") else "left")
    for path, what in found:
        name = clean(path.replace("\\", "/").rpartition("/")[2], 200)
        if isinstance(what, str):
            table.add_row(Text(name), "", "", "", "", "", Text("failed", style="red"))
        else:
            cells = row(what)
            table.add_row(Text(name), *map(Text, cells[:-1]), Text(cells[-1], style=STATE_STYLES[cells[-1]]))
    yield table


def table(rows: Sequence[Sequence[str]]) -> Table:
    """Rows under a head, as many lines each as they need."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in rows[0]:
        made.add_column(title, overflow="fold")
    for cells in rows[1:]:
        made.add_row(*map(Text, cells))
    return made


def layers(found: Inspection) -> Iterator[RenderableType]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, justify in (("layer", "left"), ("shape", "right"), ("rank", "right"), ("alpha", "right")):
        table.add_column(title, justify=justify, no_wrap=title != "layer", overflow="fold")  # type: ignore[arg-type]
    for layer in found.layers or ():
        shape = "×".join(map(str, layer.get("shape", ()))) or ", ".join(layer.get("flags", ()))
        alpha = layer.get("alpha")
        table.add_row(Text(clean(layer["name"])), shape, str(layer.get("rank", "")),
                      "" if alpha is None else f"{alpha:g}")
    yield table


def verdict(found: Verdict) -> Iterator[RenderableType]:
    head = Text(clean(found.path, 4096), style="bold")
    head.append("  " + found.verdict, style=STATE_STYLES[found.verdict])
    yield head
    shown: Counter[str] = Counter()
    for f in found.findings:
        shown[f.id] += 1
        if shown[f.id] > SHOWN_PER_RULE:
            continue
        line = Text()
        line.append(f"{f.severity} {f.id}", style={"error": "red", "warn": "yellow"}.get(f.severity, "dim"))
        line.append(f"  {clean(f.message)}")
        yield Padding(line, (0, 0, 0, 2))
        if f.key:
            yield Padding(Text(clean(f.key, 160), style="dim", overflow="fold"), (0, 0, 0, 4))
        if f.severity != "info" and f.hint and shown[f.id] == 1:
            yield Padding(Text(clean(f.hint), style="italic"), (0, 0, 0, 4))
    for rule, count in shown.items():
        if count > SHOWN_PER_RULE:
            yield Text(f"  {rule}: and {count - SHOWN_PER_RULE} more (all with --format plain or --json)", style="dim")


def result(done: Result, seconds: float) -> Iterator[RenderableType]:
    yield _grid(result_facts(done, seconds))


def result_facts(done: Result, seconds: float) -> list[Fact]:
    ranks = Counter(report.rank for report in done.modules)
    told = ", ".join(str(rank) for rank, _ in ranks.most_common(3)) + (" and others" if len(ranks) > 3 else "")
    verb = "Would write" if done.dry_run else "Wrote"
    layers = f", {len(done.modules)} modules" if done.modules else ""
    rows = [Fact("output", verb, clean(done.output, 4096), [f"{size(done.bytes)}{layers} in {done.dialect} names"
                                                            f"{told and ', rank ' + told}"])]
    if done.dry_run:
        ranked = ", ".join(f"{name} {ranks}" for name, ranks in ranks_per_block(done))
        rows.append(Fact("ranks", "Ranks", ranked))
        predicted = f"error {done.error:.3%} of the update, before rounding"
        rows.append(Fact("error", "Predicted", accuracy(done) if done.exact else predicted))
    else:
        rows.append(Fact("error", "Error", accuracy(done), _bound(done)))
        rows.append(Fact("checked", "Checked", "read back from the disk, opened with the official parser",
                         [f"{seconds:.1f} s"]))
    if done.conflict is not None and len(done.conflict.norms) > 1:
        rows.append(Fact("conflict", "Inputs", *_relation(done.conflict)))
    if done.identical is not None:
        label, words = ("Replay", _replayed) if done.command != "convert" else ("Round trip", _round_trip)
        rows.append(Fact("identical", label, words(done.identical)))
    rows += [Fact("note", "Note", clean(note)) for note in done.notes]
    return rows


def accuracy(done: Result) -> str:
    if done.exact:
        return "none: the effective update is the same to the bit"
    return f"{done.error:.3%} of the update" if done.error >= 1e-4 else f"{done.error:.1e} of the update (rounding)"


def _bound(done: Result) -> list[str]:
    if done.optimum > 0:
        return [f"the least that these ranks allow is {done.optimum:.3%} (Eckart-Young)"]
    return []


def _relation(found: Conflict) -> tuple[str, list[str]]:
    """How the inputs of a merge relate, and what that does to the sum."""
    pairs = [(abs(c), c, i, j) for i, row in enumerate(found.cosines) for j, c in enumerate(row) if i < j]
    _, cosine, i, j = max(pairs)
    which = f" (inputs {i + 1} and {j + 1})" if len(pairs) > 1 else ""
    told = f"cosine {round(cosine, 3) + 0.0:.3f}{which}: they share {cosine * cosine:.1%} of their energy"
    sizes = ", ".join(f"{norm:.3g}" for norm in found.norms)
    if found.gain < 0.99:
        effect = f"{1 - found.gain ** 2:.1%} of the energy cancels"
    else:
        effect = "nothing cancels" if found.gain < 1.01 else "they add up in common directions"
    return told, [f"weighted norms {sizes}; {effect} (gain {found.gain:.3f})"]


def _replayed(identical: bool) -> str:
    return "the same bytes again" if identical else "other bytes than before: made by another version or changed since"


def _round_trip(identical: bool) -> str:
    if identical:
        return "every tensor is identical to the file it started from"
    return ("not identical to the file it started from: a value was rounded, a part of zeros or a lone alpha was left "
            "out, or the file was edited since")


