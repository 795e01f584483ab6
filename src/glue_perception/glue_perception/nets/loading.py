"""Loading networks from the store of weights, in Hugging Face's format; nothing here asks the network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from glue_perception.errors import ConfigError, MissingDependencyError, WeightsError
from glue_perception.nets.compute import Compute, Device
from glue_perception.nets.torchvision_import import import_torchvision

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

T = TypeVar("T")

INSTALL_COMMAND = "pip install 'torch>=2.6' 'transformers>=5' safetensors pillow"


def import_networks(what: str) -> Any:
    """Return the package transformers, imported so that a torchvision that does not fit torch does no harm.

    Args:
        what: Needs it, for messages.

    Raises:
        MissingDependencyError: one of them is not; the message says how to install it.
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise MissingDependencyError(f"{what} needs {error.name}: {INSTALL_COMMAND}") from error
    # transformers imports torchvision where it is installed, and then breaks if that is broken.
    with suppress(ImportError):
        import_torchvision()
    return transformers


def torch_device(device: Device) -> torch.device:
    """Return torch's device.

    Raises:
        ConfigError: CUDA is asked for, but torch finds none.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if device is Device.CUDA and not has_cuda:
        raise ConfigError(
            "device is cuda, but torch finds no CUDA device; set device: cpu or auto, or see `nvidia-smi`"
        )
    return torch.device("cuda" if has_cuda and device is not Device.CPU else "cpu")


def load_network(model_class: Any, directory: Path, compute: Compute, **options: Any) -> Any:
    """Return a network of transformers in evaluation mode, with the weights of a local folder.

    Args:
        model_class: With `from_pretrained`.
        directory: config.json and model.safetensors (or pytorch_model.bin, read as plain tensors).
        compute: Where it runs, in which numbers.
        options: Further arguments of `from_pretrained`.

    Raises:
        WeightsError: the folder is unreadable, or lacks tensors of the network.
        ConfigError: CUDA is asked for, but not there.
    """
    import torch

    device = torch_device(compute.device)
    model, loading = read_folder(
        directory,
        lambda: model_class.from_pretrained(
            str(directory),
            local_files_only=True,
            # With safetensors preferred, a pickle is read where there is none, with weights_only.
            use_safetensors=(directory / "model.safetensors").is_file(),
            weights_only=True,
            output_loading_info=True,
            dtype=getattr(torch, compute.precision.value),
            **options,
        ),
    )
    # from_pretrained fills what a file lacks with random numbers.
    missing = sorted(loading["missing_keys"])
    if missing:
        raise WeightsError(
            f"{directory} lacks {len(missing)} tensors of {model_class.__name__}, e.g. {missing[0]}; fetch it again: "
            f"`glue weights fetch {directory.name}`"
        )
    return model.to(device).eval().requires_grad_(False)


def read_folder(directory: Path, read: Callable[[], T]) -> T:
    """Return what `read` reads from a folder of weights.

    Raises:
        WeightsError: it cannot.
    """
    try:
        with quiet_transformers():
            return read()
    except (
        Exception
    ) as error:  # a damaged file has many ways to be wrong, each reader its own errors for them
        raise WeightsError(
            f"cannot load {directory}: {type(error).__name__}: {str(error)[:300]}. Check it with "
            f"`glue weights verify {directory.name}`, fetch it again with `glue weights fetch {directory.name}`"
        ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' reports of unused tensors (CLIP's text half) and its bars off the screen; errors pass."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
