"""The accelerators that this worker may use, and the variables that tell its ranks about them."""

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
"""The first variable that is set counts. HIP's numbers count only the devices in ROCR_VISIBLE_DEVICES."""
_DIGITS = 10
_BY_BUS = "PCI_BUS_ID"
_UUID_PREFIXES = ("GPU-", "MIG-")


class Device(NamedTuple):
    """One accelerator. `id`: its id in a rank's variable. `driver_index`: the driver's number, if known."""

    id: str
    name: str
    driver_index: int | None


@dataclass(frozen=True)
class Devices:
    """The accelerators of a worker, in the order of its slots. `variable`: the name of the variable with a rank's
    devices.
    """

    variable: str = _CUDA
    found: tuple[Device, ...] = ()
    by_bus: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each device."""
        return tuple(device.name for device in self.found)

    def of_slots(self, slots: Sequence[int]) -> list[Device]:
        """The device of each slot; empty for a worker without devices."""
        return [self.found[slot] for slot in slots if slot < len(self.found)]

    def variables(self, devices: Sequence[Device]) -> dict[str, str]:
        """The variables for ranks that use these devices; LOCAL_RANK is an index into them. Empty without devices."""
        if not devices:
            return {}
        told = {self.variable: ",".join(device.id for device in devices)}
        return told | ({_CUDA_ORDER: _BY_BUS} if self.by_bus else {})

    def check_slots(self, slots: int) -> None:
        """Check that either each slot has a device or none has. Raises SettingInvalid."""
        count = len(self.found)
        if count and slots > count:
            devices = "1 device" if count == 1 else f"{count} devices"
            raise SettingInvalid(
                f"--slots is {slots}, but this worker may use {devices}: each slot needs its own. "
                f"Use --slots {count}, or set {self.variable} to an empty value for a worker without devices."
            )


class DeviceUse(NamedTuple):
    """The use of a device; 1.0 is all of its time."""

    busy_fraction: float
    memory_bytes: float


class _Listed(NamedTuple):
    """A device as the driver's tool lists it."""

    driver_index: int
    uuid: str
    name: str


def find_devices(environment: Mapping[str, str]) -> Devices:
    """The devices that the driver's tool lists and that the worker's own variables allow.

    The variables have the same meaning as for CUDA and torch: numbers or prefixes of UUIDs. Entries after one that
    names no device are ignored. A device that is named twice makes the whole list empty.
    """
    listed = _listed()
    if not listed:
        return _find_amd(environment)
    visible = environment.get(_CUDA)
    if visible is None:
        return Devices(
            found=tuple(Device(str(one.driver_index), one.name, one.driver_index) for one in listed), by_bus=True
        )
    # By default CUDA numbers the fastest device first, so its numbers may differ from the driver's.
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
    """AMD devices, if a variable names them. No AMD tool is called."""
    for variable in _AMD:
        if variable in environment:
            tokens = _tokens(environment[variable], None)
            return Devices(variable, tuple(Device(token, "GPU", None) for token in tokens))
    return Devices()


def _tokens(visible: str, count: int | None) -> list[str]:
    """The valid entries of a device list. `count`: how many devices there are, if known."""
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
    """The use of each device by its index, from the driver's tool. Devices without figures are left out."""
    found = {}
    for line in _ask_driver("index,utilization.gpu,memory.used"):
        try:
            index, percent, mebibytes = line.split(",")
            found[int(index)] = DeviceUse(float(percent) / 100, float(mebibytes) * (1 << 20))
        except ValueError:  # [N/A], which some virtual devices report
            continue
    return found


def _ask_driver(fields: str) -> list[str]:
    """A line per device, in the format of nvidia-smi --help-query-gpu. Empty if the tool is not installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
