"""Weights rounded to 8 bits so that what a channel gives stays right on average, and not only each weight.

Rounded one by one, the errors of a kernel add up to a shift of its channel wherever the input is even, and every layer
adds its own. So some weights are rounded the other way, those that are nearest to the middle first, until the errors
weighted by the mean of the input they meet all but cancel out (the bias that Nagel et al. 2019, arXiv 1906.04721,
section 4.2, correct afterwards). Sums are of integers: the same on every processor.
"""

import numpy as np

LEVELS = 127
_ERROR = 1 << 16  # units a step, in which errors are counted
_MEAN = 1 << 10  # units of the largest mean
_FURTHEST = 0.1  # of a step from its nearest integer: what is nearer is not rounded the other way


def round_weights(rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Round each channel's weights to multiples of its own largest one's 127th.

    Parameters
    ----------
    rows : (channels, n) float32
        The weights of each output channel.
    means : (n,) float
        Of the input that each of the n weights meets.

    Returns
    -------
    (channels, n) float32
        Multiples of the steps.
    """
    exact = rows.astype(np.float64)
    steps = np.abs(exact).max(1, keepdims=True) / LEVELS
    steps[steps == 0] = 1
    whole = np.rint(exact / steps)
    errors = np.rint((whole - exact / steps) * _ERROR).astype(np.int64)
    largest = max(float(np.abs(means).max()), 1e-30)
    weights = np.rint(means / largest * _MEAN).astype(np.int64)
    turns = np.where(errors > 0, -1, 1)  # to the second-nearest integer
    gains = turns * weights * _ERROR
    may = (np.abs(whole) < LEVELS) & (np.abs(errors) > _FURTHEST * _ERROR) & (weights != 0)
    for channel in range(len(rows)):
        left = int((errors[channel] * weights).sum())
        for at in np.argsort(-np.abs(errors[channel]), kind="stable"):
            turned = left + int(gains[channel, at])
            if may[channel, at] and abs(turned) < abs(left):
                left = turned
                whole[channel, at] += turns[channel, at]
    return (whole * steps).astype(np.float32)
