"""
What tests of worker processes share: a module of jobs that workers can import, and the
simulation of many.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # tests/ is no package; workers are told
sys.path.append(str(HERE.parent / "benchmarks"))
