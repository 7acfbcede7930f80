"""What holds for every opened picture, whether it came from a file or was made in memory."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_max_pixels_is_the_one_limit_also_where_no_file_is_decoded() -> None:
    # Set when this room's lowest file is imported; Pillow's own limit would refuse what a raised one allows.
    code = "import extract.pictures.square; from PIL import Image; print(Image.MAX_IMAGE_PIXELS)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
