"""The small model that `deep_child.py` trains, and its data: no Keras, whose versions differ.

NumPy and TensorFlow only, Python 3.7 syntax, TensorFlow 2.4 and later.
"""

from __future__ import annotations

from typing import Any, List

BATCH, SIDE, CLASSES, RATE = 128, 32, 10, 0.02


class Model:
    """Two convolutions and a matrix product, trained by gradient descent."""

    def __init__(self, device: str) -> None:
        import numpy as np
        import tensorflow as tf

        random = np.random.RandomState(20)
        shapes = ((3, 3, 3, 32), (3, 3, 32, 64), (SIDE * SIDE // 16 * 64, CLASSES))
        self.device = device
        with tf.device(device):
            self.weights = [
                tf.Variable(random.normal(0, np.prod(shape[:-1]) ** -0.5, shape).astype("float32"))
                for shape in shapes
            ]

    def devices(self) -> List[str]:
        """Where each weight lies, by TensorFlow's names."""
        return [weight.device for weight in self.weights]

    def step(self, images: Any, labels: Any) -> Any:
        """The loss before the weights are changed."""
        import tensorflow as tf

        first, second, last = self.weights
        with tf.device(self.device):
            with tf.GradientTape() as tape:
                hidden = tf.nn.relu(tf.nn.conv2d(images, first, strides=1, padding="SAME"))
                hidden = tf.nn.max_pool2d(hidden, 2, 2, "SAME")
                hidden = tf.nn.relu(tf.nn.conv2d(hidden, second, strides=1, padding="SAME"))
                hidden = tf.nn.max_pool2d(hidden, 2, 2, "SAME")
                scores = tf.matmul(tf.reshape(hidden, [-1, SIDE * SIDE // 16 * 64]), last)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores)
                loss = tf.reduce_mean(losses)
            for weight, gradient in zip(self.weights, tape.gradient(loss, self.weights)):
                weight.assign_sub(RATE * gradient)
            return tf.identity(loss)


def examples() -> Any:
    """A batch that can be learnt: each class has its own pattern, under noise."""
    import numpy as np

    random = np.random.RandomState(20)
    labels = random.randint(0, CLASSES, BATCH).astype("int32")
    patterns = random.uniform(0, 1, (CLASSES, SIDE, SIDE, 3))
    images = 0.7 * patterns[labels] + 0.3 * random.uniform(0, 1, (BATCH, SIDE, SIDE, 3))
    return images.astype("float32"), labels


WAYS = ("neither", "batch", "prefetch", "parallel")


def pipeline(way: str) -> Any:
    """The data set and the number of examples in each of its elements.

    TensorFlow fuses and reads ahead by itself: only `parallel` lets it, so that the others are what they say.
    """
    import tensorflow as tf

    auto = tf.data.experimental.AUTOTUNE
    size = 1 if way == "neither" else BATCH
    data = encoded().repeat()
    if way == "parallel":
        return data.map(decoded, num_parallel_calls=auto).batch(size, drop_remainder=True).prefetch(
            auto
        ), size
    data = data.map(decoded).batch(size, drop_remainder=True)
    if way == "prefetch":
        data = data.prefetch(2)
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return data.with_options(options), size


def encoded() -> Any:
    """JPEG images of twice the size, with their labels."""
    import tensorflow as tf

    images, labels = examples()
    large = tf.image.resize(images, [2 * SIDE, 2 * SIDE])
    files = [tf.io.encode_jpeg(tf.cast(image * 255, tf.uint8)) for image in large]
    return tf.data.Dataset.from_tensor_slices((tf.stack(files), tf.constant(labels)))


def decoded(file: Any, label: Any) -> Any:
    """An example as the model takes it: the image read, made small, and mirrored now and then."""
    import tensorflow as tf

    image = tf.image.resize(tf.io.decode_jpeg(file, channels=3), [SIDE, SIDE]) / 255.0
    return tf.image.random_flip_left_right(image), label
