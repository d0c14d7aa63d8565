"""Variables that a warm rank cannot use, because its parent reads them during its own start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headway.core.start_variables import counts_only_when

RECORDED = """
import os
read = set()
class Recording(type(os.environ)):
    def __getitem__(self, name):
        read.add(name)
        return super().__getitem__(name)
    def __contains__(self, name):
        read.add(name)
        return super().__contains__(name)
os.environ.__class__ = Recording
from headway.training.forkserver import preload
preload()
print(*sorted(read))
"""
READ_BY_LIBRARIES = [
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OMP_PROC_BIND",
    "GOMP_CPU_AFFINITY",
    "GOMP_SPINCOUNT",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "MKLDNN_VERBOSE",
    "MKLDNN_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "GOTO_NUM_THREADS",
    "GFORTRAN_UNBUFFERED_ALL",
    "GLIBCXX_TUNABLES",
    "OPENSSL_CONF",
    "CUBLAS_LOGINFO_DBG",
    "CUDA_PREFER_SPINLOCKS_ON_HOST",
    "NVRTC_DISABLE_PCH",
    "KINETO_USE_DAEMON",
    "NPY_DISABLE_CPU_FEATURES",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_CPP_LOG_LEVEL",
    "TORCH_DISTRIBUTED_DEBUG",
    "TORCH_SHOW_CPP_STACKTRACES",
    "TRITON_DEBUG",
    "LC_ALL",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX",
    "GLIBC_TUNABLES",
    "PYTHONHASHSEED",
    "PYTHONMALLOC",
    "PYTHONWARNINGS",
    "PYTHONIOENCODING",
    "PYTHONDONTWRITEBYTECODE",
]
"""What libc, Python and torch's libraries pass to getenv(3) until then, as a shim of it recorded for torch 2.15."""


def test_what_is_read_while_a_forkserver_is_warmed_starts_cold() -> None:
    """Given the parent of warm ranks, then each variable that it reads by name is in the list."""
    clean = {"PATH": "", "HOME": "/nonexistent"}
    ran = subprocess.run([sys.executable, "-P", "-c", RECORDED], env=clean, capture_output=True, text=True, check=True)
    read = {*ran.stdout.split()} - {"PATH"}
    assert {"TORCH_LOGS", "TORCH_COMPILE_DISABLE", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR"} <= read
    assert [name for name in sorted(read) if counts_only_when(name) is None] == []


@pytest.mark.parametrize("name", READ_BY_LIBRARIES)
def test_what_libraries_read_when_they_are_loaded_starts_cold(name: str) -> None:
    assert counts_only_when(name) is not None


@pytest.mark.parametrize(
    "name",
    ["TZ", "PYTHONPATH", "PYTHONUNBUFFERED", "NUMEXPR_MAX_THREADS", "TOKENIZERS_PARALLELISM", "NCCL_DEBUG",
     "TORCH_HOME", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "WANDB_MODE", "HF_HOME", "LANGUAGE_MODEL", "TEMPERATURE"],
)  # fmt: skip
def test_what_a_warm_rank_takes_up_starts_warm(name: str) -> None:
    assert counts_only_when(name) is None
