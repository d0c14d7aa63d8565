"""The accelerators that this worker may use, and what its ranks are told of them."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headway.errors import SettingInvalid

_log = logging.getLogger(__name__)
_DRIVER_TIMEOUT_SECONDS = 20.0
_CUDA, _CUDA_ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_AMD = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""The first that is set counts: HIP's numbers are those of the devices that ROCR_VISIBLE_DEVICES leaves."""
_DIGITS = 10
_BY_BUS = "PCI_BUS_ID"
_UUID_PREFIXES = ("GPU-", "MIG-")


class Device(NamedTuple):
    """One accelerator. `id`: what a rank is told; `driver_index`: the driver's number, if known."""

    id: str
    name: str
    driver_index: int | None


@dataclass(frozen=True)
class Devices:
    """The accelerators of a worker, in the order of its slots. `variable` tells a rank which of them it may use."""

    variable: str = _CUDA
    found: tuple[Device, ...] = ()
    by_bus: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What each is called."""
        return tuple(device.name for device in self.found)

    def of_slots(self, slots: Sequence[int]) -> list[Device]:
        """The device of each slot; none where there are no devices."""
        return [self.found[slot] for slot in slots if slot < len(self.found)]

    def variables(self, devices: Sequence[Device]) -> dict[str, str]:
        """What ranks are told that use these devices: LOCAL_RANK counts them. Nothing where there are none."""
        if not devices:
            return {}
        told = {self.variable: ",".join(device.id for device in devices)}
        return told | ({_CUDA_ORDER: _BY_BUS} if self.by_bus else {})

    def check_slots(self, slots: int) -> None:
        """Each slot has its device, or none has. Raises SettingInvalid."""
        count = len(self.found)
        if count and slots > count:
            devices = "1 device" if count == 1 else f"{count} devices"
            raise SettingInvalid(
                f"--slots is {slots}, and this worker may use {devices}: each slot needs its own. "
                f"Give --slots {count}, or set {self.variable} to an empty value for a worker without devices."
            )


class DeviceUse(NamedTuple):
    """What is used of a device: 1.0 is all of its time."""

    busy_fraction: float
    memory_bytes: float


class _Listed(NamedTuple):
    """A device as the driver's tool lists it."""

    driver_index: int
    uuid: str
    name: str


def find_devices(environment: Mapping[str, str]) -> Devices:
    """The devices that the driver's tool lists, as far as the worker's own variables let it use them.

    Those variables mean what they mean to CUDA and torch: numbers or the beginnings of UUIDs; what comes behind a value
    that names no device does not count; a device that is named twice makes the whole list empty.
    """
    listed = _listed()
    if not listed:
        return _find_amd(environment)
    visible = environment.get(_CUDA)
    if visible is None:
        return Devices(
            found=tuple(Device(str(one.driver_index), one.name, one.driver_index) for one in listed), by_bus=True
        )
    # CUDA counts the fastest first unless told otherwise, so numbers may mean others to it than to the driver.
    numbers_agree = environment.get(_CUDA_ORDER) == _BY_BUS or len({one.name for one in listed}) == 1
    found: list[Device] = []
    for token in _tokens(visible, len(listed)):
        if token.startswith("MIG-"):
            found.append(Device(token, "MIG device", None))
            continue
        matching = [one for one in listed if one.uuid.startswith(token) or token == str(one.driver_index)]
        if len(matching) != 1:
            break
        known = numbers_agree or not token.isdigit()
        found.append(Device(token, matching[0].name if known else "GPU", matching[0].driver_index if known else None))
    return Devices(found=tuple(found))


def _listed() -> list[_Listed]:
    found = []
    for line in _ask_driver("index,uuid,name"):
        index, uuid, name = (part.strip() for part in (line + ",,").split(",", 2))
        if index.isdigit():
            found.append(_Listed(int(index), uuid, name.rstrip(",")))
    return found


def _find_amd(environment: Mapping[str, str]) -> Devices:
    """AMD's devices, where a variable names them: no tool of theirs is asked."""
    for variable in _AMD:
        if variable in environment:
            tokens = _tokens(environment[variable], None)
            return Devices(variable, tuple(Device(token, "GPU", None) for token in tokens))
    return Devices()


def _tokens(visible: str, count: int | None) -> list[str]:
    """The entries of a list of devices that count. `count`: how many devices there are, if known."""
    tokens: list[str] = []
    for entry in visible.split(","):
        token = entry.strip()
        number = int(token) if token.isascii() and token.isdigit() and len(token) < _DIGITS else None
        uuid = token.startswith(_UUID_PREFIXES)
        if number is None and not uuid:
            break
        if number is not None:
            token = str(number)
            if count is not None and number >= count:
                break
        if tokens and tokens[0].isdigit() is uuid:
            break  # numbers and UUIDs do not mix
        if token in tokens:
            _log.warning("%s names %s twice, so none of its devices is used.", visible, token)
            return []
        tokens.append(token)
    return tokens


def device_use() -> dict[int, DeviceUse]:
    """By the device's index, as the driver's tool tells; what it does not tell is left out."""
    found = {}
    for line in _ask_driver("index,utilization.gpu,memory.used"):
        try:
            index, percent, mebibytes = line.split(",")
            found[int(index)] = DeviceUse(float(percent) / 100, float(mebibytes) * (1 << 20))
        except ValueError:  # a device that says [N/A], as some virtual ones do
            continue
    return found


def _ask_driver(fields: str) -> list[str]:
    """A line per device, as nvidia-smi --help-query-gpu describes them; none where it is not installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
