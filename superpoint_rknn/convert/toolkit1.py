"""RV1126 and RV1109: a folder with the input and a script for rknn-toolkit 1.7 (Python 3.6)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx

from superpoint_rknn import __version__
from superpoint_rknn.files import write_atomically
from superpoint_rknn.network.network import Weights, float_graph
from superpoint_rknn.network.weights import without_floors
from superpoint_rknn.quantize.calibration import CalibrationImage
from superpoint_rknn.quantize.card import origin

TARGETS = ('rv1126', 'rv1109')
SCRIPT = Path(__file__).with_name('toolkit1_script.py')
README = """\
SuperPoint for {target}, model input {height}x{width}: input of rknn-toolkit 1.7.

    superpoint.onnx    the float network; its input is a grey image, 0 to 255
    calibration/       {count} images, HxWx1 uint8, listed in dataset.txt
    {stem}.json    the model card: keep it beside the .rknn file

1. On a PC (x86-64, Ubuntu 18.04 or 20.04, or a container), in an environment of Python 3.6 or 3.8:
   install rknn-toolkit 1.7.5 from https://github.com/rockchip-linux/rknn-toolkit/releases,
   then run, with that environment's Python:

       python convert.py

   It writes {stem}.rknn: 8-bit input, 8-bit descriptors, and the detector in float32
   (float16 on the NPU). `--all-8-bit` quantizes the detector, too: try it if the float layers
   take too much time.

2. Pre-compile on the board; otherwise loading takes minutes. Attach the board by USB, check that
   `adb devices` lists it, and name it if there are several:

       python convert.py --precompile [DEVICE]

   A pre-compiled file works with one version of the driver only.

3. Copy {stem}.rknn and {stem}.json to the board, and there:

       superpoint_rknn doctor --model {stem}.rknn

   must report that the input table is the identity: the bytes of an image are the model input.
"""


def write_folder(
    output: Path,
    network: Weights,
    weights: Path,
    calibration: list[CalibrationImage],
    *,
    target: str,
    size: tuple[int, int],
) -> dict:
    """
    Write the input of rknn-toolkit 1.7, and a script that runs it, to a new folder.

    output: the folder; the .rknn file will have its name. weights: the file of `network`.
    calibration: images of `size`, height and width [px]. target: one of TARGETS.
    Returns the model card. Raises FileExistsError if the folder exists, OSError for files; no
    partial folder is left.
    """
    if output.exists():
        raise FileExistsError(f'{output} exists already: remove it, or name another folder by -o')
    card = folder_card(output.name, weights, calibration, target, size)
    temporary = Path(tempfile.mkdtemp(prefix=f'.{output.name}.', dir=output.parent))
    try:
        onnx.save(float_graph(without_floors(network), size), temporary / 'superpoint.onnx')
        (temporary / 'calibration').mkdir()
        names = [f'calibration/{number:03}.npy' for number in range(len(calibration))]
        for name, image in zip(names, calibration, strict=True):
            np.save(temporary / name, image.grey[:, :, np.newaxis])
        settings = {'target': target, 'output': f'{output.name}.rknn'}
        texts = {
            'dataset.txt': '\n'.join([*names, '']),
            'settings.json': f'{json.dumps(settings, indent=2)}\n',
            f'{output.name}.json': f'{json.dumps(card, indent=2)}\n',
            'README.txt': README.format(
                target=target.upper(),
                height=size[0],
                width=size[1],
                count=len(calibration),
                stem=output.name,
            ),
        }
        for name, text in texts.items():
            write_atomically(temporary / name, text.encode())
        shutil.copy(SCRIPT, temporary / 'convert.py')
        temporary.chmod(0o755)
        os.rename(temporary, output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return card


def folder_card(
    name: str,
    weights: Path,
    calibration: list[CalibrationImage],
    target: str,
    size: tuple[int, int],
) -> dict:
    """Model card of the .rknn file to come, without the scales that the toolkit computes."""
    return {
        'name': name,
        'target': target,
        'input': {'size': list(size), 'mean': 0.0, 'std': 1.0},
        **origin(weights, calibration),
        'versions': {'superpoint_rknn': __version__, 'onnx': onnx.__version__},
        'made_by': 'superpoint_rknn convert',
    }


def run_script(folder: Path, interpreter: Path) -> Path:
    """
    Convert the network of a folder with a Python interpreter that has rknn-toolkit 1.7.

    The messages of the toolkit go to stderr. Returns the .rknn file. Raises RuntimeError if the
    conversion fails, OSError if the interpreter cannot be run; then no .rknn file is left.
    """
    output = folder / f'{folder.name}.rknn'
    try:
        command: list[str | Path] = [interpreter, '-E', folder / 'convert.py']
        code = subprocess.run(command, cwd=folder, stdout=2, check=False).returncode
        if code or not output.is_file():
            raise RuntimeError(
                f'{interpreter} {folder / "convert.py"}: exit code {code}; see its messages above'
            )
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            output.unlink()
        raise
    return output
