"""Shared by all tests: one BLAS thread, and no settings of the machine that runs them."""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import pytest


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path_factory):
    """Settings come from an empty folder."""
    monkeypatch.setenv("LORATOOL_HOME", str(tmp_path_factory.mktemp("home")))
    for variable in ("LORATOOL_FORMAT", "LORATOOL_COLOR", "LORATOOL_THREADS", "LORATOOL_DEBUG"):
        monkeypatch.delenv(variable, raising=False)
