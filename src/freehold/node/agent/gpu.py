"""Graphics processors as sensors: NVIDIA's management library, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Protocol, cast

from freehold.domain.errors import NotFoundError, UnavailableError
from freehold.node.agent.sensors import Value

GPUS_MAX = 8
_CELSIUS = 0
"""NVML_TEMPERATURE_GPU."""


class _Memory(Protocol):
    used: int


class _Rates(Protocol):
    gpu: int


class Nvml(Protocol):
    """What is used of the module ``pynvml``; handles are its own."""

    def nvmlInit(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> object: ...
    def nvmlDeviceGetTemperature(self, handle: object, sensor: int) -> int: ...
    def nvmlDeviceGetPowerUsage(self, handle: object) -> int: ...
    def nvmlDeviceGetMemoryInfo(self, handle: object) -> _Memory: ...
    def nvmlDeviceGetUtilizationRates(self, handle: object) -> _Rates: ...


def _load() -> Nvml:
    try:
        module = import_module("pynvml")
    except ImportError as error:
        raise NotFoundError(
            "the sensor gpu gives nothing: nvidia-ml-py is not installed",
            remedy="Install freehold[gpu], or take `gpu` out of the device's settings.",
        ) from error
    return cast(Nvml, module)


class Gpu:
    """Temperature, power, memory and use of each graphics processor."""

    name = "gpu"

    def __init__(self, load: Callable[[], Nvml] = _load) -> None:
        self._load = load
        self._nvml: Nvml | None = None

    def read(self) -> Sequence[Value]:
        """What each tells; what one does not support is left out."""
        try:
            nvml = self._ready()
            count = min(nvml.nvmlDeviceGetCount(), GPUS_MAX)
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except (RuntimeError, OSError, _error()) as error:
            raise UnavailableError(
                f"the sensor gpu gives nothing: {error}", remedy="Check the driver: nvidia-smi."
            ) from error
        return [v for index, handle in enumerate(handles) for v in _values(nvml, index, handle)]

    def _ready(self) -> Nvml:
        if self._nvml is None:
            nvml = self._load()
            nvml.nvmlInit()
            self._nvml = nvml
        return self._nvml


def _values(nvml: Nvml, index: int, handle: object) -> Iterator[Value]:
    asked: tuple[tuple[str, str, Callable[[], float]], ...] = (
        ("temperature", "Cel", lambda: nvml.nvmlDeviceGetTemperature(handle, _CELSIUS)),
        ("power", "W", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1_000),
        ("memory.used", "B", lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used),
        ("share", "%", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
    )
    for word, symbol, ask in asked:
        try:
            value = float(ask())
        except (RuntimeError, OSError, _error()):
            continue
        yield Value(f"gpu.{index}.{word}", symbol, value)


def _error() -> type[Exception]:
    """What the library raises; something that nothing else raises where it is absent."""
    try:
        found = import_module("pynvml").NVMLError
    except ImportError:
        return UnavailableError
    return cast(type[Exception], found)
