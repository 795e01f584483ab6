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

SMALLEST_GROUP = 16
"""Columns that share a scale; fewer cost more than they save."""

INT8_MAX = 127.0
SMALLEST_SCALE = 1e-12

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
    precision: Precision = Precision.FLOAT32,
) -> Graph:
    """Return (condition, state) -> state after all steps, in float32, as one graph with one copy of the weights.

    Args:
        table: condition -> [s f], one row per step.
        step: (state, row of the table [1 f], row of `rows` [1 k]) -> state.
        condition: An example.
        state: An example.
        rows: Constants of the steps, [s k].
        threads: Of the compiled graph.
        precision: With int8, the large products of a step are those of `_split_products`.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    ov = _openvino()
    with torch.no_grad():
        row = table(condition)[:1]
    table_model = _convert(table, (condition,))
    step_model = _convert(step, (state, row, rows[:1]))
    group_size = _split_products(step_model) if precision is Precision.INT8 else 0
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
    return _compile(whole, Precision.FLOAT32, threads, group_size)


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


def _compile(model: Any, precision: Precision, threads: int, group_size: int = 0) -> Graph:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # The control thread must be free to run on any core.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32" if precision is Precision.FLOAT32 else "bf16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group_size,
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
    products = _large_products(model)
    for node, weight in products:
        restored, _ = _int8(weight)
        product = ov.opset13.matmul(node.input_value(0), restored, node.get_attributes()["transpose_a"], True)
        node.output(0).replace(product.output(0))
    return [weight.shape[1] for _, weight in products]


def _split_products(model: Any) -> int:
    """Make large products of static shape [m k] x [n k] sums of int8 ones; return the group size to compile with.

    What a product of a handful of rows costs is reading its weights. As W1 + W2, both int8, the second what the first
    leaves over, they take half the memory of float32. So do the rows as x1 + x2, by groups of columns. With
    x W ~ x1 W1 + x2 W1 + x1 W2 some 15 bits are kept, where float16 weights keep 11; with int8 weights alone a
    sampled chunk moves by more than a millimetre. OpenVINO unpacks float16 weights to float32 on a processor without
    float16 arithmetic, so that these save nothing.
    """
    op = _openvino().opset13
    products = _large_products(model)
    group_size = math.gcd(*(weight.shape[1] for _, weight in products)) if products else 0
    if group_size < SMALLEST_GROUP:
        return 0
    for node, weight in products:
        large, left_over = _int8(weight)
        small, _ = _int8(left_over)
        rows, width = node.input_value(0).get_shape()
        whole = op.constant(np.array([rows, width]))
        groups = op.reshape(node.input_value(0), np.array([rows, width // group_size, group_size]), False)
        # The same numbers as OpenVINO's own for these groups, so that it finds x1 to be int8 already.
        largest = op.reduce_max(op.absolute(groups), np.array([2]), True)
        scale = op.maximum(op.multiply(largest, np.float32(1.0 / INT8_MAX)), np.float32(SMALLEST_SCALE))
        x1 = op.multiply(op.round(op.divide(groups, scale), "half_to_even"), scale)
        x2 = op.reshape(op.subtract(groups, x1), whole, False)
        x1 = op.reshape(x1, whole, False)
        both = op.split(op.matmul(op.concat([x1, x2], 0), large, False, True), op.constant(0), 2)
        product = op.add(op.add(both.output(1), op.matmul(x1, small, False, True)), both.output(0))
        node.output(0).replace(product.output(0))
    return group_size


def _large_products(model: Any) -> list[tuple[Any, np.ndarray]]:
    """Return the matrix products with constant weights worth compressing, with these as [n k]."""
    found = []
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        source = node.input_value(1).get_node()
        if source.get_type_name() != "Constant":
            continue
        weight = np.array(source.data)
        if weight.ndim != 2 or weight.size < SMALLEST_WEIGHT or weight.dtype != np.float32:
            continue
        found.append((node, weight if node.get_attributes()["transpose_b"] else weight.T))
    return found


def _int8(weight: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return a constant of int8 times a scale per row, and what it leaves over of the weights."""
    op = _openvino().opset13
    scale = np.maximum(np.abs(weight).max(axis=1, keepdims=True), SMALLEST_SCALE) / INT8_MAX
    whole = np.rint(weight / scale).astype(np.int8)
    restored = op.multiply(op.convert(op.constant(whole), "f32"), op.constant(scale))
    return restored, weight - whole * scale


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
