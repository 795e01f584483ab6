"""OpenVINO: torch modules to compiled graphs. The only file that imports it."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glue_perception.errors import MissingDependencyError
from glue_policy.engines.config import Precision

SMALLEST_WEIGHT = 16_384
"""Matrices with fewer elements stay as they are: there is nothing to gain."""

Graph = Callable[..., Tensor]
"""Tensors in, the first result out."""


def compile_graph(
    module: nn.Module, example: tuple[Tensor, ...], precision: Precision, threads: int
) -> Graph:
    """Return a module compiled for inputs of the examples' shapes and types.

    Args:
        module: In evaluation mode; its weights are copied.
        example: Inputs.
        precision: Of matrix products.
        threads: Of the compiled graph.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    return _compile(_convert(module, example), precision, threads)


def compile_loop(
    table: nn.Module,
    step: nn.Module,
    condition: Tensor,
    state: Tensor,
    rows: Tensor,
    threads: int,
) -> Graph:
    """Return (condition, state) -> state after all steps, in float32, as one graph with one copy of the weights.

    Args:
        table: condition -> [s f], one row per step.
        step: (state, row of the table [1 f], row of `rows` [1 k]) -> state.
        condition: An example.
        state: An example.
        rows: Constants of the steps, [s k].
        threads: Of the compiled graph.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    ov = _openvino()
    with torch.no_grad():
        row = table(condition)[:1]
    table_model = _convert(table, (condition,))
    step_model = _convert(step, (state, row, rows[:1]))
    loop = ov.op.tensor_iterator()
    loop.set_body(step_model)
    inside, after = step_model.get_parameters(), step_model.get_results()[0].output(0)
    start = ov.opset13.parameter(list(state.shape), np.float32)
    constants = ov.opset13.constant(rows.numpy())
    loop.set_merged_input(inside[0], start.output(0), after)
    # (first, stride, size of a slice, last, axis)
    loop.set_sliced_input(inside[1], table_model.get_results()[0].input_value(0), 0, 1, 1, -1, 0)
    loop.set_sliced_input(inside[2], constants.output(0), 0, 1, 1, -1, 0)
    result = ov.opset13.result(loop.get_iter_value(after, -1))
    whole = ov.Model([result], [table_model.get_parameters()[0], start], "loop")
    return _compile(whole, Precision.FLOAT32, threads)


def _openvino() -> Any:
    # OpenVINO's converter reports its import to its maker if this package is there; a robot does not phone home.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
        import openvino.frontend
        import openvino.op
        import openvino.opset13
    except ImportError as error:
        raise MissingDependencyError(
            f"engine openvino needs OpenVINO ({error}); run: pip install 'openvino>=2026.4', or choose engine traced"
        ) from error
    return openvino


@cache
def _core() -> Any:
    """Return the one runtime of this process, which is never freed.

    Its processor plugin gives the thread that loads it a stack for signals and unmaps that when the last runtime
    goes, after which Ctrl-C is a segmentation fault (seen with 2026.4).
    """
    return _openvino().Core()


def _convert(module: nn.Module, example: tuple[Tensor, ...]) -> Any:
    ov = _openvino()
    with _quiet(), torch.no_grad():
        from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

        program = torch.export.export(module.eval(), example, strict=False)
        decoder = TorchFXPythonDecoder.from_exported_program(program)
        front_end = ov.frontend.FrontEndManager().load_by_framework("pytorch")
        # The model keeps pointers into the decoder while it is converted.
        loaded = front_end.load(decoder)
        model = front_end.convert(loaded)
    model.reshape({index: list(value.shape) for index, value in enumerate(example)})
    return model


def _compile(model: Any, precision: Precision, threads: int) -> Graph:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # The control thread must be free to run on any core.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32" if precision is Precision.FLOAT32 else "bf16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    if precision is Precision.INT8:
        widths = _compress_weights(model)
        if widths:
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = math.gcd(*widths)
    request = _core().compile_model(model, "CPU", options).create_infer_request()

    def run(*values: Tensor) -> Tensor:
        results = request.infer([np.ascontiguousarray(value.numpy()) for value in values])
        return torch.from_numpy(np.array(results[0]))

    return run


def _compress_weights(model: Any) -> list[int]:
    """Make the weights of matrix products int8 with a scale per output channel; return the products' lengths."""
    ov = _openvino()
    widths = []
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        source = node.input_value(1).get_node()
        if source.get_type_name() != "Constant":
            continue
        weight = np.array(source.data)
        if weight.ndim != 2 or weight.size < SMALLEST_WEIGHT or weight.dtype != np.float32:
            continue
        if not node.get_attributes()["transpose_b"]:
            weight = weight.T
        scale = np.maximum(np.abs(weight).max(axis=1, keepdims=True), 1e-12) / 127.0
        whole = np.rint(weight / scale).astype(np.int8)
        restored = ov.opset13.multiply(
            ov.opset13.convert(ov.opset13.constant(whole), "f32"), ov.opset13.constant(scale)
        )
        product = ov.opset13.matmul(node.input_value(0), restored, node.get_attributes()["transpose_a"], True)
        node.output(0).replace(product.output(0))
        widths.append(weight.shape[1])
    return widths


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is no news here.

    OpenVINO logs, with a trace each, that it looks for decompositions that this torch does not have; torch warns of
    a change in its own tree of results.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
