"""Fashion-MNIST: small grey pictures of ten kinds of clothes.

- Source: labels and order from github.com/zalandoresearch/fashion-mnist at b2617bb6d3ffa2e429640350f613e3291e10b141,
  `data/fashion`; pixels, the same, from github.com/Sentdex/nnfs_book at 59c6224248bcac0f950acf5ae906399f428d7209,
  `fashion_mnist_images`.
- Licence: MIT.
- Paper: Xiao et al., 2017, https://arxiv.org/abs/1708.07747.
"""

from keras_attn.lookup import choose
from zoo.datasets import arrays, files

SOURCE = "github.com/zalandoresearch/fashion-mnist (data/fashion) and Sentdex/nnfs_book (fashion_mnist_images)"
LICENCE = "MIT"
SPLITS = ("train", "dev", "test")
CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
#: How many of the training images, the last ones, are dev.
DEV = 5000


def load(split):
    """The images of a split, in the order in which they are published.

    Args:
        split: "train" (55,000), "dev" (5,000) or "test" (10,000).

    Returns:
        `(N, 28, 28, 1)`, uint8, 0 to 255, background 0; and `(N,)`, int32, indices into `CLASSES`.
    """
    name = "test" if choose("split of fashion_mnist", split, SPLITS) == "test" else "train"
    x, y = arrays.read(files.find("fashion_mnist", f"{name}.npz", SOURCE), "x", "y")
    if split != "test":
        part = slice(-DEV) if split == "train" else slice(-DEV, None)
        x, y = x[part], y[part]
    return x[..., None], y.astype("int32")
