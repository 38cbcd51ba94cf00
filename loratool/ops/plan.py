"""What an operation will do, before it does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..adapter.adapter import Adapter, Source
from ..naming.address import Address
from ..tensors.writer import TensorSpec


@dataclass(frozen=True)
class Report:
    """One module of a result. All three figures are Frobenius norms, not ratios.

    ``norm`` None: not needed so far (the layer is exact); ``measure`` gives it.
    """

    name: str
    rank_before: int
    rank: int
    error: float = 0.0
    optimum: float = 0.0
    norm: float | None = None
    exact: bool = True
    measure: Callable[[], float] | None = None
    block: str = ""
    """The block of the model (IN04, D17, clip-l...), in a plan that says ranks per block."""


@dataclass(frozen=True)
class Produced:
    """The bytes of a layer's tensors, by key, and what they cost in accuracy."""

    tensors: Mapping[str, bytes]
    report: Report | None = None


@dataclass(frozen=True)
class OutLayer:
    """A layer of the output. ``component`` and ``module`` are the names PEFT's configuration uses.

    Keys of a folder's files are qualified by the component (``text_encoder.base_model.model...``).
    """

    stem: str
    component: str
    module: str
    rank: int
    alpha: float
    limit: int
    """The largest rank that the module can have."""
    spatial: bool
    address: Address | None
    tensors: tuple[TensorSpec, ...]
    compute: Callable[[], Produced]
    predicted: Report | None = None
    """What the spectrum says about this rank, where the plan knows it."""
    algorithm: str = "lora"
    """Of the tensors as written: a layer of another one is only ever written as it was."""


@dataclass(frozen=True)
class Carried:
    """A tensor that is copied as it is."""

    source: Source
    key: str
    name: str

    @property
    def spec(self) -> TensorSpec:
        info = self.source.file.tensors[self.key]
        return TensorSpec(self.name, info.dtype, info.shape)

    def raw(self) -> bytes:
        return self.source.file.raw(self.key)


@dataclass(frozen=True)
class Conflict:
    """How the inputs of a merge relate, weights and scales included.

    ``norms``: of each input's part; ``cosines``: between the parts; ``gain``: the norm of the sum
    against that of unrelated parts of these norms (below 1: something cancels).
    """

    norms: tuple[float, ...]
    cosines: tuple[tuple[float, ...], ...]
    gain: float


@dataclass(frozen=True)
class Plan:
    """Everything that ``run.execute`` needs. ``order`` lists keys whose sequence is kept."""

    command: str
    inputs: tuple[Adapter, ...]
    model: str | None
    """``family`` or ``family/variant``, whose names the output has; None where nobody knows it."""
    dialect: str
    folder: bool
    layers: Sequence[OutLayer]
    carried: Sequence[Carried]
    metadata: Mapping[str, str]
    order: Sequence[str] = ()
    notes: Sequence[str] = ()
    compare_content: str | None = None
    """The content digest that the output should have when a round trip closes."""
    late: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    """Metadata that holds digests of the inputs: found while the layers are computed, as long as its
    place in ``metadata``."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Metadata that a round trip gives back as it was, whatever the layers say."""
    recipe: Mapping[str, Any] | None = None
    """The options that made the plan; written with the measured error, so that it can be replayed."""
    conflict: Conflict | None = None

    @property
    def family(self) -> str | None:
        return self.model and self.model.partition("/")[0]


@dataclass(frozen=True)
class Result:
    """What an operation did, measured on the file that was written."""

    command: str
    inputs: tuple[str, ...]
    output: str
    bytes: int
    family: str | None
    dialect: str
    error: float
    optimum: float
    exact: bool
    modules: tuple[Report, ...]
    notes: tuple[str, ...] = ()
    identical: bool | None = None
    """Whether a round trip returned the very tensors it started from; None where it is no round trip."""
    conflict: Conflict | None = None
    dry_run: bool = False
    exit_code: int = field(default=0)
