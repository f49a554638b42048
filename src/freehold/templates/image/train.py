"""Trains a recogniser of images; writes net.onnx for nodes and held_out.npz for validators.

python train.py                     handwritten digits that come with scikit-learn
python train.py --data FOLDER       IDX files as of MNIST, or an .npz with x (n, 784) and y
"""

from __future__ import annotations

import argparse
import gzip
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import print
from rich.progress import track
from scorer import SIDE, distort
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

HERE = Path(__file__).parent
EPOCHS = 30


def main() -> None:
    """Load, train, measure, write."""
    options = _options()
    images, labels = load(options.data)
    seen, unseen, known, truth = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )  # everyone holds out the same images, whatever their seed
    net = train(seen, known, seed=options.seed)
    right = int((net.predict(unseen) == truth).sum())
    low, high = interval(right, len(truth))
    print(f"held-out accuracy {right / len(truth):.3f} (95 % interval {low:.3f} to {high:.3f})")
    write(net)
    np.savez_compressed(HERE / "held_out.npz", images=unseen, labels=truth)
    print("wrote net.onnx (serve it) and held_out.npz (validators score with it)")


def train(images: Floats, labels: Labels, *, seed: int) -> MLPClassifier:
    """One hidden layer, shown differently distorted images in every epoch."""
    random = np.random.default_rng(seed)
    net = MLPClassifier((64,), batch_size=32, alpha=0.001, random_state=seed)
    with threadpool_limits(1):  # a net this small is trained faster by one thread than by several
        for _ in track(range(EPOCHS), "training"):
            net.partial_fit(distort(images, random), labels, classes=np.arange(10))
    return net


def write(net: MLPClassifier) -> None:
    """As ONNX with the names of subnet.toml."""
    inputs = [("image", FloatTensorType([None, SIDE * SIDE]))]
    model = to_onnx(net, initial_types=inputs, options={id(net): {"zipmap": False}})
    (HERE / "net.onnx").write_bytes(model.SerializeToString())


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return middle - half, middle + half


def load(folder: Path | None) -> tuple[Floats, Labels]:
    """Images (n, 784) from 0 to 1, and their labels 0 to 9."""
    images, labels = digits() if folder is None else read(folder)
    if images.shape != (len(labels), SIDE, SIDE) or not set(labels.tolist()) <= set(range(10)):
        raise SystemExit(f"expected images of {SIDE} x {SIDE} pixels with labels from 0 to 9")
    return (images.reshape(len(images), -1) / 255).astype(np.float32), labels.astype(np.int64)


def digits() -> tuple[Bytes, Labels]:
    """1,797 digits of 8 x 8 pixels, three times as large and with a rim of two."""
    found = load_digits()
    large = np.kron(found.images * (255 / 16), np.ones((3, 3)))
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.uint8), found.target


def read(folder: Path) -> tuple[Bytes, Labels]:
    """All pairs of IDX files in a folder, or else the first .npz."""
    names = sorted(folder.glob("*images*idx3*"))
    if names:
        images = np.concatenate([idx(name) for name in names])
        pairs = [name.with_name(name.name.replace("images", "labels").replace("idx3", "idx1"))
                 for name in names]  # fmt: skip
        return images, np.concatenate([idx(name) for name in pairs]).astype(np.int64)
    for name in sorted(folder.glob("*.npz")):
        with np.load(name) as file:
            return file["x"].reshape(-1, SIDE, SIDE).astype(np.uint8), file["y"].astype(np.int64)
    raise SystemExit(f"{folder} holds neither *images*idx3* files nor an .npz")


def idx(path: Path) -> Bytes:
    """An IDX file of bytes: 0, 0, 8, dimensions, each side in 4 bytes, then the values."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if data[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is no IDX file of bytes")
    shape = np.frombuffer(data, dtype=">u4", count=data[3], offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a recogniser of images.")
    parser.add_argument("--data", type=Path, help="folder of IDX files or with an .npz")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another model")
    return parser.parse_args()


if __name__ == "__main__":
    main()
