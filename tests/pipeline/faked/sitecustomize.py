"""On PYTHONPATH, this makes every process, those of Ray too, find the modules of this folder below `actors`."""

from pathlib import Path

import actors

actors.__path__.append(str(Path(__file__).parent))
