"""Frozen batch normalisation folded into the convolution before it, without changing what is trained.

A frozen BatchNormalization is an affine map of each channel, y = scale * x + shift, with scale = gamma /
sqrt(variance + epsilon) and shift = beta - scale * mean. So conv(x, K) followed by it is conv(x, K * scale) + shift,
where K stays the trained variable: its gradient passes through the product, and two sweeps over the activations in
each direction are saved. (Jacob et al. 2018, arXiv 1712.05877, section 3.2, fold for inference; where nothing of the
normalisation moves, training may too.)
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D)
SLOW_KERNEL = 5  # oneDNN's filter gradient of a depthwise convolution is fast up to 3 x 3
MOST_PAIRS = (
    196 * 49
)  # input by output positions: above, the correlations of all pairs cost more than they save


class Folded(layers.Layer):
    """A convolution and the frozen normalisation behind it, as one layer that owns the variables of both."""

    def __init__(self, convolution: layers.Layer, norm: layers.BatchNormalization) -> None:
        super().__init__(name=f"{convolution.name}_folded", dtype=convolution.dtype_policy)
        self.convolution, self.norm = convolution, norm
        self.trainable = convolution.trainable
        norm.trainable = False

    def build(self, input_shape: Any) -> None:
        """Nothing to make: both parts are built."""

    def call(self, x: Any) -> Any:
        """(B, h, w, c) to (B, h', w', c')."""
        convolution, norm = self.convolution, self.norm
        scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
        scale = scale if norm.gamma is None else norm.gamma * scale
        mean = norm.moving_mean if convolution.bias is None else norm.moving_mean - convolution.bias
        shift = -mean * scale if norm.beta is None else norm.beta - mean * scale
        scale, shift = ops.cast(scale, self.compute_dtype), ops.cast(shift, self.compute_dtype)
        if isinstance(convolution, layers.DepthwiseConv2D):
            kernel = convolution.kernel * ops.reshape(scale, (-1, convolution.depth_multiplier))
            return _depthwise(x, kernel, convolution) + shift
        kernel = convolution.kernel * scale
        if _multiplies(convolution):
            return _product(x, kernel) + shift
        options = _options(convolution)
        return ops.conv(x, kernel, dilation_rate=convolution.dilation_rate, **options) + shift


def foldable(convolution: Any, norm: Any) -> bool:
    """Tell whether `norm` may be folded into `convolution`, which nothing else must read."""
    return (
        type(convolution) in FOLDABLE
        and isinstance(norm, layers.BatchNormalization)
        and convolution.activation is keras.activations.linear
        and convolution.data_format == "channels_last"
        and norm.axis in (-1, 3)
        and getattr(convolution, "groups", 1) == 1
    )


def _options(convolution: Any) -> dict[str, Any]:
    return {
        "strides": convolution.strides,
        "padding": convolution.padding,
        "data_format": convolution.data_format,
    }


def _multiplies(convolution: Any) -> bool:
    """Whether it only mixes channels, and TensorFlow on a CPU has its gradients sooner from a product of matrices."""
    mixes = tuple(convolution.kernel_size) == tuple(convolution.strides) == (1, 1)
    return mixes and _tensorflow_on_a_cpu()


def _tensorflow_on_a_cpu() -> bool:
    return keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")


def _product(x: Any, kernel: Any) -> Any:
    """(B, h, w, c) times (1, 1, c, d) to (B, h, w, d)."""
    channels, depth = kernel.shape[2:]
    rows = ops.matmul(ops.reshape(x, (-1, channels)), ops.reshape(kernel, (channels, depth)))
    return ops.reshape(rows, (*ops.shape(x)[:3], depth))


def _depthwise(x: Any, kernel: Any, convolution: Any) -> Any:
    options = _options(convolution)
    if not _correlates(x, convolution):
        return ops.depthwise_conv(x, kernel, dilation_rate=convolution.dilation_rate, **options)
    pairs = _pairs(tuple(x.shape[1:3]), convolution)

    @ops.custom_gradient
    def with_kernel_gradient(y: Any, kernel: Any) -> Any:
        def gradient(*arguments: Any, upstream: Any = None) -> tuple[Any, Any]:
            dy = arguments[0] if upstream is None else upstream
            return dy, _kernel_gradient(x, dy, pairs, tuple(kernel.shape))

        return y, gradient

    return with_kernel_gradient(ops.depthwise_conv(x, ops.stop_gradient(kernel), **options), kernel)


def _correlates(x: Any, convolution: Any) -> bool:
    """Whether the kernel's gradient is faster through `_kernel_gradient`: TensorFlow on a CPU, small maps."""
    if (
        not _tensorflow_on_a_cpu()
        or not convolution.trainable
        or keras.backend.standardize_dtype(x.dtype) != "float32"
    ):
        return False
    plain = convolution.depth_multiplier == 1 and tuple(convolution.dilation_rate) == (1, 1)
    if not plain or max(convolution.kernel_size) < SLOW_KERNEL or None in x.shape[1:3]:
        return False
    inputs = int(np.prod(x.shape[1:3]))
    outputs = int(np.prod(convolution.compute_output_shape((1, *x.shape[1:]))[1:3]))
    return inputs * outputs <= MOST_PAIRS


def _kernel_gradient(x: Any, dy: Any, pairs: np.ndarray, shape: tuple[int, ...]) -> Any:
    """Gradient of a depthwise kernel from the correlations of all input with all output positions.

    With p input and q output positions, dK[t, c] is the sum over the batch of x[b, p, c] * dy[b, q, c] for the pairs
    (p, q) that tap t joins. One batched matrix product gives all pairs, a second one adds them up: several times the
    arithmetic of the definition, in a third of the time.
    """
    channels = x.shape[-1]
    left = ops.transpose(ops.reshape(x, (-1, x.shape[1] * x.shape[2], channels)), (2, 1, 0))
    right = ops.transpose(ops.reshape(dy, (-1, dy.shape[1] * dy.shape[2], channels)), (2, 0, 1))
    taps = ops.matmul(ops.reshape(ops.matmul(left, right), (channels, -1)), pairs)
    return ops.reshape(ops.transpose(taps), shape)


def _pairs(size: tuple[int, int], convolution: Any) -> np.ndarray:
    """(inputs * outputs, taps) float32: 1 where a tap of the kernel joins an input to an output position."""
    out = convolution.compute_output_shape((1, *size, 1))[1:3]
    kernel, stride = convolution.kernel_size, convolution.strides
    axes = []
    for length, outputs, k, s in zip(size, out, kernel, stride, strict=True):
        before = max((outputs - 1) * s + k - length, 0) // 2 if convolution.padding == "same" else 0
        position = np.arange(outputs)[:, None] * s + np.arange(k) - before  # (outputs, taps)
        axes.append((position[None] == np.arange(length)[:, None, None]).astype(np.float32))
    joined = np.einsum("aki,blj->abklij", *axes)  # (h, w, h', w', taps, taps)
    return joined.reshape(np.prod(size) * np.prod(out), np.prod(kernel))
