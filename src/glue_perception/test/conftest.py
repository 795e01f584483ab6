"""The test folder is importable, for its shared scenes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
