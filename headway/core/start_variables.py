"""Variables that are read only when a process starts, or when torch is imported. Ranks that set one start cold.

A warm rank is forked from a process that has already read its variables. `tests/unit/core/test_start_variables.py`
records which variables that process reads, so it finds the new variables of a newer torch.
"""

from __future__ import annotations

import re

_PROCESS_START = re.compile(
    # The loader, libc and its allocators (ld.so(8), mallopt(3)), and Python (python(1)) with its text encoding.
    r"LD_|DYLD_|GLIBC_|GLIBCXX_|MALLOC_|TCMALLOC_|MIMALLOC_|_?PYTHON|LC_|LANG$|LANGUAGE$"
    # NumPy, torch and Triton remember the paths of their caches.
    r"|HOME$|USER$|LOGNAME$|LNAME$|USERNAME$|TMPDIR$|TEMP$|TMP$"
)
_IMPORT = re.compile(
    # Threads: libraries create their pools when they are loaded.
    r"OMP_|GOMP_|KMP_|MKL_|MKLDNN_|DNNL_|ONEDNN_|BLIS_|OPENBLAS_|GOTO_|NVPL_|GFORTRAN_|OPENSSL_"
    r"|TORCH|PYTORCH|ATEN_|CAFFE2_|C10_|KINETO_|AOT|INDUCTOR_|FX_|PT2_|PARTITIONER_|COMPILE_STROBELIGHT"
    r"|CUTEDSL_|CUTLASS_|FLYDSL_|TRITON_|DUMP_AOTI|FAKE_ALLOW|LOG_AUTOTUNE|LOG_TLPARSE|UNSAFE_SKIP_FSDP"
    r"|ENABLE_(HOST_SIDE|PERSISTENT|TEMPLATE|TMA)_|CUDA_|CUBLAS|NVRTC_|LLVM_|LIBNVVM_|NVIDIA_TF32"
    r"|NPY_|NUMPY_|SYMPY_|MPMATH_|SAGE_|TQDM_|PYDANTIC_|CXX$|CI$"
)
_TAKEN_UP = re.compile(
    # Applied in the fork, equal on every rank, or read when they are used although their names begin alike.
    r"(PYTHONPATH|PYTHONUNBUFFERED|PYTHONFAULTHANDLER|PYTHONBREAKPOINT|TORCH_HOME|TORCH_EXTENSIONS_DIR|TORCH_NCCL_\w*)$"
)


def counts_only_when(name: str) -> str | None:
    """When the variable is read, if that is before a warm rank is forked; None if warm ranks use it."""
    if _TAKEN_UP.match(name):
        return None
    if _PROCESS_START.match(name):
        return "a process starts"
    return "torch and its libraries are imported" if _IMPORT.match(name) else None
