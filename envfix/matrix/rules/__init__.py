"""The rules that decide: each is one function from a release and a machine to yes, no or unknown.

What is not known of the machine gives unknown, never no; and a fact that is taken away never turns a no into
a yes.
"""

from __future__ import annotations

from envfix.matrix.rules.case import Rule
from envfix.matrix.rules.companions import judge_companions
from envfix.matrix.rules.defects import judge_defects, judge_defects_on_cpu
from envfix.matrix.rules.driver import judge_driver
from envfix.matrix.rules.gpu import judge_gpu, judge_gpu_code
from envfix.matrix.rules.host import judge_any_wheel, judge_cpu, judge_wheel
from envfix.matrix.rules.installed import judge_installed
from envfix.matrix.rules.libraries import judge_cudnn, judge_libraries, judge_system

# In the order in which a reader wants to know: is there a wheel and a GPU at all, then whether they fit.
GPU_RULES: tuple[Rule, ...] = (
    judge_wheel,
    judge_gpu,
    judge_driver,
    judge_gpu_code,
    judge_system,
    judge_libraries,
    judge_cudnn,
    judge_defects,
    judge_cpu,
    judge_companions,
    judge_installed,
)
CPU_RULES: tuple[Rule, ...] = (
    judge_any_wheel,
    judge_defects_on_cpu,
    judge_cpu,
    judge_companions,
    judge_installed,
)
