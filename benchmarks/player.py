"""Start and speed of the player: `python -m benchmarks.player [MODEL]`.

Cold starts of the classic command line and of `import torch` take turns, so that load from elsewhere affects both;
medians are printed. Needs the extra `train` for this comparison.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import ROOT
from benchmarks.common import command_line, timed
from soundgan import SoundGAN

COMMANDS = {
    "python main.py --inference": [sys.executable, str(ROOT / "main.py"), "--inference"],
    'python -c "import torch"': [sys.executable, "-c", "import torch"],
}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("model", nargs="?", default="digits")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "gan_config.json").write_text("{}")
        start = partial(subprocess.run, cwd=folder, check=True, capture_output=True)
        rounds = [[timed(start, command)[0] for command in COMMANDS.values()] for _ in range(options.rounds + 1)]
    medians = [statistics.median(times) for times in zip(*rounds[1:], strict=True)]  # the first fills the disk cache
    for name, median in zip(COMMANDS, medians, strict=True):
        print(f"{name:30} {median:6.2f} s (median of {options.rounds})")
    print(f"{'ratio':30} {medians[0] / medians[1]:6.2f}")

    model = SoundGAN.load(options.model)
    model.generate(64, seed=0)
    single = statistics.median(timed(model.generate, 1, seed=seed)[0] for seed in range(30))
    batch = statistics.median(timed(model.generate, 64, seed=seed)[0] for seed in range(options.rounds))
    duration = model.representation.duration
    print(f"one {duration:.2f} s sound, loaded model {1000 * single:8.1f} ms")
    print(f"in a batch of 64 {1000 * batch / 64:23.1f} ms a sound, {64 * duration / batch:.0f} × real time")
    print(f"on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
