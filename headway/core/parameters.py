"""The parameters of the built-in trainers: types, ranges, defaults and help. They need no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from headway.core.dataset import Dataset
from headway.core.frozen import Frozen
from headway.core.invalid_fields import invalid_field
from headway.core.nearest import did_you_mean
from headway.errors import InvalidInput


class TrainerParameters(Frozen):
    """The parameters of all trainers."""

    epochs: int = Field(default=5, ge=1, le=10_000, description="Passes over the training samples.")
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Samples per step over all ranks together.")
    learning_rate: float = Field(default=2e-3, gt=0, le=10, description="Peak learning rate of Adam.")
    weight_decay: float = Field(default=1e-4, ge=0, le=1, description="Decoupled weight decay of Adam.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Share of activations dropped while training.")
    dataset_size: int | None = Field(default=None, ge=1, description="Training samples to use; all if not given.")
    validation_fraction: float = Field(default=0.1, gt=0, lt=1, description="Share of the train split held out.")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Seed of weights, dropout and data order.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Arithmetic of the forward pass; auto takes bf16 where the device is fast at it."
    )
    log_every_steps: int = Field(default=10, ge=1, le=100_000, description="Steps between two training metrics.")
    max_steps: int | None = Field(default=None, ge=1, description="Stop after that many steps, if given.")


class MlpParameters(TrainerParameters):
    """A perceptron with two hidden layers."""

    hidden_size: int = Field(default=128, ge=1, le=16_384, description="Units of each hidden layer.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of activations dropped while training.")
    epochs: int = Field(default=8, ge=1, le=10_000, description="Passes over the training samples.")


class LstmParameters(TrainerParameters):
    """An LSTM that reads an image row by row."""

    hidden_size: int = Field(default=128, ge=1, le=16_384, description="Units of the LSTM and of the layer after it.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of activations dropped while training.")


class CnnParameters(TrainerParameters):
    """Two convolutions with pooling and two dense layers."""

    hidden_size: int = Field(default=128, ge=1, le=16_384, description="Units of the dense layer.")


TRAINER_PARAMETERS: dict[str, type[TrainerParameters]] = {
    "mlp": MlpParameters,
    "lstm": LstmParameters,
    "cnn": CnnParameters,
}


_IMAGE_DIMENSIONS = 2
_COLOURS = {3, 4}
"""Numbers of colour channels: RGB, and RGB with transparency."""
_LEAST_SIDE = {"cnn": 4, "lstm": 1}
"""The smallest images that a trainer's layers can process. A trainer that is not here takes any sample."""


def parse_parameters(trainer: str, given: dict[str, bool | int | float | str]) -> TrainerParameters:
    """The trainer's parameters with defaults filled in.

    Raises InvalidInput that names an unknown trainer, an unknown parameter, or a value out of range.
    """
    model = TRAINER_PARAMETERS.get(trainer)
    if model is None:
        meant = did_you_mean(trainer, TRAINER_PARAMETERS)
        raise InvalidInput(f"Trainer {trainer} does not exist.{meant} There are: {', '.join(TRAINER_PARAMETERS)}.")
    unknown = sorted(set(given) - set(model.model_fields))
    if unknown:
        meant, known = did_you_mean(unknown[0], model.model_fields), ", ".join(sorted(model.model_fields))
        raise InvalidInput(f"Trainer {trainer} has no parameter {unknown[0]}.{meant} It has: {known}.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        name, message = invalid_field(problem, model)
        raise InvalidInput(f"Parameter {name} of trainer {trainer}: {message}.") from error


def check_samples(trainer: str, dataset: Dataset) -> None:
    """Raises InvalidInput when the trainer does not support samples of the dataset's shape."""
    shape = dataset.sample_shape
    least = _LEAST_SIDE.get(trainer)
    if least is not None and len(shape) == _IMAGE_DIMENSIONS + 1 and {shape[0], shape[-1]} & _COLOURS:
        raise InvalidInput(
            f"Dataset {dataset.name} has colour images: its samples have the shape {shape}. Trainer {trainer} takes "
            "only grey images, of height and width. Convert them to grey, or use trainer mlp or a script of your own."
        )
    if least is not None and (len(shape) != _IMAGE_DIMENSIONS or min(shape) < least):
        raise InvalidInput(
            f"Trainer {trainer} takes images of at least {least} x {least} pixels; samples of dataset {dataset.name} "
            f"have the shape {shape}. Trainer mlp takes any."
        )
