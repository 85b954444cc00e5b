"""Each channel sees its neighbours, with a kernel of its own."""

from keras import ops


def depthwise(x, kernel, before, dilation=1):
    """`y_t = sum_i kernel_i ⊙ x_{t - before + i dilation}` for x `(B, T, C)` and kernel `(k, C)`."""
    reach = dilation * (kernel.shape[0] - 1)
    return depthwise_where_whole(ops.pad(x, ((0, 0), (before, reach - before), (0, 0))), kernel, dilation)


def depthwise_where_whole(x, kernel, dilation=1):
    """The same where all of the kernel is within x: `y_t = sum_i kernel_i ⊙ x_{t + i dilation}`."""
    kernel = ops.cast(kernel, x.dtype)[..., None]
    return ops.depthwise_conv(x, kernel, padding="valid", data_format="channels_last", dilation_rate=dilation)
