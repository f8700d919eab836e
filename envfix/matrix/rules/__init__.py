"""The rules that decide: each is one function from a release and a machine to yes, no or unknown.

What is not known of the machine gives unknown, never no; and a fact that is taken away never turns a no into
a yes.
"""

from __future__ import annotations

from collections.abc import Callable

from envfix.matrix.rules.defects import judge_defects
from envfix.matrix.rules.driver import judge_driver
from envfix.matrix.rules.gpu import judge_gpu, judge_gpu_code
from envfix.matrix.rules.host import judge_cpu, judge_wheel
from envfix.matrix.rules.libraries import judge_cudnn, judge_libraries
from envfix.model.decision import Verdict
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix, Release

Rule = Callable[[Release, Machine, Matrix], Verdict]

# In the order in which a reader wants to know: is there a wheel and a GPU at all, then whether they fit.
GPU_RULES: tuple[Rule, ...] = (
    judge_wheel,
    judge_gpu,
    judge_driver,
    judge_gpu_code,
    judge_libraries,
    judge_cudnn,
    judge_defects,
    judge_cpu,
)
