"""What `prove_minimal.py` traces: the GPU registers, then a training step runs on the CPU.

    python traced_step.py [FUNCTION ...]

Standard library and TensorFlow only, Python 3.7 syntax. Each FUNCTION is one like `ncclGetVersion`, which
takes the address of an int: it is called in TensorFlow's own libraries. One line of JSON goes to standard
output.
"""

import ctypes
import json
import os
import sys
from pathlib import Path


def main():
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    answers = {name: answer_of(name, tf.sysconfig.get_lib()) for name in sys.argv[1:]}
    # The driver stub runs no kernels, so the step itself is placed on the CPU.
    tf.config.set_visible_devices([], "GPU")
    before, after = trained(tf)
    print(json.dumps({"gpus": gpus, "answers": answers, "loss": [before, after]}))


def answer_of(name, folder):
    """What the function says where one of TensorFlow's libraries has it and it returns 0, else None."""
    for path in sorted([*Path(folder).glob("*.so*"), *Path(folder, "python").glob("*.so")]):
        try:
            function = getattr(ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD), name)
        except (OSError, AttributeError):
            continue
        number = ctypes.c_int(0)
        return number.value if function(ctypes.byref(number)) == 0 else None
    return None


def trained(tf):
    """The loss before and after 20 steps: random numbers, dropout, convolution, matrix product."""
    tf.random.set_seed(7)
    images, labels = tf.random.normal([32, 8, 8, 3]), tf.random.uniform([32], maxval=4, dtype=tf.int32)
    kernel = tf.Variable(tf.random.normal([3, 3, 3, 8], stddev=0.1))
    dense = tf.Variable(tf.random.normal([512, 4], stddev=0.1))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            hidden = tf.nn.relu(tf.nn.conv2d(images, kernel, strides=1, padding="SAME"))
            flat = tf.nn.dropout(tf.reshape(hidden, [32, -1]), rate=0.1)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, flat @ dense))
        gradients = tape.gradient(loss, (kernel, dense))
        kernel.assign_sub(0.1 * gradients[0])
        dense.assign_sub(0.1 * gradients[1])
        return loss

    losses = [float(step()) for _ in range(20)]
    return losses[0], losses[-1]


if __name__ == "__main__":
    main()
