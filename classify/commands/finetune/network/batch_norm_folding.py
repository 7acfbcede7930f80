"""Frozen batch normalisation folded into the convolution before it, without changing what is trained.

A frozen BatchNormalization is an affine map of each channel, y = scale * x + shift, with scale = gamma /
sqrt(variance + epsilon) and shift = beta - scale * mean. So conv(x, K) followed by it is conv(x, K * scale) + shift,
where K stays the trained variable: its gradient passes through the product, and two sweeps over the activations in
each direction are saved. (Jacob et al. 2018, arXiv 1712.05877, section 3.2, fold for inference; where nothing of the
normalisation moves, training may too.)
"""

from typing import Any

import keras
from keras import layers, ops

ONEDNN_KERNEL = 3  # oneDNN's gradient of larger depthwise kernels is slower than TensorFlow's own


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
    if not _without_onednn(x, convolution):
        return ops.depthwise_conv(x, kernel, dilation_rate=convolution.dilation_rate, **options)

    @ops.custom_gradient
    def with_kernel_gradient(y: Any, kernel: Any) -> Any:
        def gradient(*arguments: Any, upstream: Any = None) -> tuple[Any, Any]:
            dy = arguments[0] if upstream is None else upstream
            return dy, _kernel_gradient(x, dy, convolution)

        return y, gradient

    return with_kernel_gradient(ops.depthwise_conv(x, ops.stop_gradient(kernel), **options), kernel)


def _without_onednn(x: Any, convolution: Any) -> bool:
    """Whether the kernel's gradient is taken by `_kernel_gradient`: with TensorFlow on a CPU, of large kernels."""
    if not convolution.trainable or not _tensorflow_on_a_cpu() or None in x.shape[1:3]:
        return False
    plain = convolution.depth_multiplier == 1 and tuple(convolution.dilation_rate) == (1, 1)
    even = len(set(convolution.strides)) == 1
    return plain and even and max(convolution.kernel_size) > ONEDNN_KERNEL


def _kernel_gradient(x: Any, dy: Any, convolution: Any) -> Any:
    """Gradient of a depthwise kernel, with the padding in numbers: TensorFlow never leaves that to oneDNN."""
    import tensorflow as tf

    strides = (1, *convolution.strides, 1)
    axes = zip(x.shape[1:3], dy.shape[1:3], convolution.kernel_size, convolution.strides, strict=True)
    zeros = [_zeros(*axis, convolution.padding) for axis in axes]
    size = (*convolution.kernel_size, x.shape[3], 1)
    return tf.nn.depthwise_conv2d_backprop_filter(x, size, dy, strides, ((0, 0), *zeros, (0, 0)))


def _zeros(inputs: int, outputs: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Zeros before and behind an axis."""
    missing = max((outputs - 1) * stride + kernel - inputs, 0) if padding == "same" else 0
    return missing // 2, missing - missing // 2
