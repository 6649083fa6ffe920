"""
Build for pip: the CMake project that colcon builds, its installed files put into a wheel.

colcon reads package.xml and CMakeLists.txt and never calls this file.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
NAME = 'superpoint_rknn'
PACKAGE_XML = ET.parse(HERE / 'package.xml').getroot()

# Of use in a sourced workspace only; they name the folder that the wheel was staged in.
WORKSPACE_FILES = ('local_setup.*', 'environment/*', '*/parent_prefix_path/*')


def ros_prefixes() -> list[str]:
    """Prefixes of ROS 2: the sourced ones, then the interpreter's own (wheels from PyPI)."""
    named = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    prefixes = [p for p in dict.fromkeys(named) if p and Path(p, 'share').is_dir()]
    if any(Path(p, 'share', 'rosidl_generator_py').is_dir() for p in prefixes):
        return prefixes
    raise SystemExit(
        f'{NAME}: no ROS 2 message generators found. Source a ROS 2 installation, or first '
        'install requirements/ros-kilted.txt into this environment.'
    )


def site_packages(prefix: str | Path) -> Path:
    """Folder of Python packages below a prefix."""
    return Path(sysconfig.get_path('purelib', vars={'base': str(prefix), 'platbase': str(prefix)}))


def cmake_install(build_dir: Path, prefix: Path) -> None:
    """Configure, build and install the CMake project into `prefix`."""
    prefixes = ros_prefixes()
    # CMake runs the message generators, which pip's isolated build hides.
    env = os.environ | {
        'PYTHONPATH': os.pathsep.join(str(site_packages(p)) for p in prefixes),
        'AMENT_PREFIX_PATH': os.pathsep.join(prefixes),
    }
    generator = ['-G', 'Ninja'] if shutil.which('ninja') else []
    configure = [
        *('cmake', '-S', HERE, '-B', build_dir, *generator),
        f'-DCMAKE_INSTALL_PREFIX={prefix}',
        f'-DCMAKE_PREFIX_PATH={";".join(prefixes)}',
        f'-DPython3_EXECUTABLE={sys.executable}',
        '-DBUILD_TESTING=OFF',
    ]
    jobs = str(os.cpu_count() or 1)
    for command in (
        configure,
        ['cmake', '--build', build_dir, '--parallel', jobs],
        ['cmake', '--install', build_dir],
    ):
        if subprocess.run(command, env=env).returncode:
            # No Exception: setuptools only warns of those in an editable install.
            raise SystemExit(f'{NAME}: failed: {" ".join(map(str, command))}')


class BuildWithCMake(build_py):
    """Modules and messages go into the package, the rest below the prefix as CMake lays it out."""

    def run(self):
        base = Path(self.get_finalized_command('build').build_base).resolve()
        prefix = base / 'prefix'
        shutil.rmtree(prefix, ignore_errors=True)
        cmake_install(base / 'cmake', prefix)
        packages = site_packages(prefix)
        data_files = {}
        for path in sorted(p for p in prefix.rglob('*') if p.is_file()):
            if '__pycache__' in path.parts or any(map(path.match, WORKSPACE_FILES)):
                continue
            place = path.relative_to(prefix).parent
            if place.name == 'bin':
                continue  # setuptools makes the same command, for this interpreter
            if packages in path.parents:
                inside = path.relative_to(packages)
                if inside.parts[0] != NAME:
                    continue  # CMake's own egg-info
                if not self.editable_mode:
                    target = Path(self.build_lib, inside)
                    self.mkpath(str(target.parent))
                    self.copy_file(str(path), str(target))
                    continue
                if (HERE / inside).exists():
                    continue  # imported from the checkout
            data_files.setdefault(str(place), []).append(str(path))
        self.distribution.data_files = list(data_files.items())


class PlatformDistribution(Distribution):
    """The wheel holds shared libraries built for this interpreter."""

    def has_ext_modules(self):
        return True

    def has_data(self):
        """Asked by editable_wheel only, which otherwise leaves data_files out."""
        return bool(self.data_files)


setup(
    name=NAME,
    version=PACKAGE_XML.findtext('version'),
    description=PACKAGE_XML.findtext('description'),
    author=PACKAGE_XML.findtext('author'),
    maintainer=PACKAGE_XML.findtext('maintainer'),
    maintainer_email=PACKAGE_XML.find('maintainer').get('email'),
    license=PACKAGE_XML.findtext('license'),
    project_urls={url.get('type'): url.text for url in PACKAGE_XML.findall('url')},
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    # '.' makes an editable install a .pth line and not an import hook: the hook would lose to
    # the folder that holds the generated messages.
    package_dir={'': '.'},
    data_files=[],
    cmdclass={'build_py': BuildWithCMake},
    distclass=PlatformDistribution,
)
