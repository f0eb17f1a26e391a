"""
What tests of worker processes share: a module of jobs that workers can import.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # tests/ is no package; workers are told
