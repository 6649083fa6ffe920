"""What both launch files have in common: arguments, checks of their values, and nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import EnvironmentVariable, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from superpoint_rknn.files import absolute_path
from superpoint_rknn.settings import nearest_name

PACKAGE = 'superpoint_rknn'
BOOLEANS = ('true', 'false', 'True', 'False')
RESPAWN_DELAY = 2.0  # [s]
RENAMED = {'config': 'params_file'}  # launch arguments
OF_LAUNCH = ('ros_namespace',)  # set by PushRosNamespace
IN_FILE = '(empty: as in params_file)'


class Argument(NamedTuple):
    """Definition of a launch argument."""

    default: Any  # text or substitution
    description: str
    choices: tuple[str, ...] = ()


def config_file(name: str) -> Any:
    """Substitution for the path of a file in config/."""
    return PathJoinSubstitution([FindPackageShare(PACKAGE), 'config', name])


COMMON = {
    'namespace': Argument('', 'namespace of the nodes'),
    'camera': Argument('', 'namespace of the camera in `namespace`: its topic is CAMERA/image'),
    'cameras': Argument('', f'names of several cameras, such as cam0,cam1 {IN_FILE}'),
    'image': Argument('image', 'topic of the images, if not `image` in the namespace'),
    'model': Argument('', f'model file, superpoint or superpoint_small {IN_FILE}'),
    'runtime': Argument(
        '',
        f'what executes the model {IN_FILE}',
        ('', 'auto', 'librknn', 'rknnlite', 'onnx'),
    ),
    'autostart': Argument(
        '',
        f'configure and activate at start, or wait for a lifecycle manager {IN_FILE}',
        ('', *BOOLEANS),
    ),
    'composed': Argument('false', 'superpoint and tracker in one process', BOOLEANS),
    'use_sim_time': Argument('', f'take the time from /clock {IN_FILE}', ('', *BOOLEANS)),
    'log_level': Argument(
        '', 'least severity of log messages', ('', 'debug', 'info', 'warn', 'error', 'fatal')
    ),
    'respawn': Argument('false', 'start a process again when it ends', BOOLEANS),
    'fastdds_profile': Argument(
        EnvironmentVariable(
            'FASTDDS_DEFAULT_PROFILES_FILE',
            default_value=EnvironmentVariable(
                'FASTRTPS_DEFAULT_PROFILES_FILE', default_value=config_file('fastdds.xml')
            ),
        ),
        'Fast DDS profile; the default has room for images in shared memory',
    ),
}


class Arguments:
    """Values of the launch arguments by name: texts, '' if not given."""

    def __init__(self, values: Mapping[str, str]):
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def is_true(self, name: str) -> bool:
        """Return the value of a boolean; that of '' is False."""
        return self[name].lower() == 'true'

    def file(self, name: str) -> str:
        """Return the absolute path of a file. Raises ValueError if it does not exist."""
        path = absolute_path(self[name])
        if not path.is_file():
            raise ValueError(f'{name}:={self[name]}: no such file: {path}')
        return str(path)

    def number(self, name: str) -> float:
        """Return the value of a number. Raises ValueError if it is none."""
        try:
            return float(self[name])
        except ValueError:
            raise ValueError(f'{name}:={self[name]}: expected a number') from None

    def cameras(self) -> list[str]:
        """Return the names of the cameras: the items of a list with or without brackets."""
        items = self['cameras'].strip(' []').split(',') if self['cameras'] else []
        return [item.strip(' \'"') for item in items]

    def namespace(self) -> str:
        """Return the namespace of the nodes."""
        outer, camera = self['namespace'].rstrip('/'), self['camera']
        return f'{outer}/{camera.strip("/")}' if outer and camera else outer or camera

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that the arguments override, of every node."""
        texts = {name: self[name] for name in ('model', 'runtime') if self[name]}
        return {
            **{name: ParameterValue(text, value_type=str) for name, text in texts.items()},
            **{name: self.is_true(name) for name in ('autostart', 'use_sim_time') if self[name]},
            **({'cameras': self.cameras()} if self['cameras'] else {}),
        }

    def remappings(self, topic: str, target: str) -> list[tuple[str, str]]:
        """
        Return the remappings of a topic of each camera.

        target: new name, relative to the name of the camera if it is relative.
        Raises ValueError if several cameras would get the same topic.
        """
        cameras = self.cameras()
        if len(cameras) > 1 and target.startswith('/'):
            raise ValueError(f'{topic}:={target}: expected a relative name with several cameras')
        if not cameras:
            return [(topic, target)]
        prefix = '' if target.startswith('/') else '{}/'
        return [(f'{camera}/{topic}', f'{prefix.format(camera)}{target}') for camera in cameras]


def node(
    arguments: Arguments,
    executable: str,
    files: list[str],
    parameters: Mapping[str, Any] = {},
    name: str | None = None,
) -> Node:
    """
    Return the action that starts an executable of this package.

    files: paths of parameter files. parameters: by name, beside those in `arguments`.
    name: of the node; None if the executable has several.
    """
    level = arguments['log_level']
    given = {**arguments.parameters(), **parameters}
    return Node(
        package=PACKAGE,
        executable=executable,
        name=name,
        namespace=arguments.namespace(),
        output='screen',
        respawn=arguments.is_true('respawn'),
        respawn_delay=RESPAWN_DELAY,
        arguments=['--ros-args', '--log-level', level] if level else [],
        remappings=arguments.remappings('image', arguments['image']),
        parameters=[*dict.fromkeys(files), *([given] if given else [])],
    )


def fastdds_profile(path: str) -> list[SetEnvironmentVariable]:
    """Return the actions that set the Fast DDS profile of the processes started after them."""
    names = ['FASTDDS_DEFAULT_PROFILES_FILE']
    if os.environ.get('ROS_DISTRO') in ('humble', 'jazzy'):  # Fast DDS 2; 3 warns about the name
        names.append('FASTRTPS_DEFAULT_PROFILES_FILE')
    return [SetEnvironmentVariable(name, path) for name in names]


def included(arguments: Arguments, name: str) -> list[GroupAction]:
    """Include the launch file that an argument names, if any, with its own arguments only."""
    if not arguments[name]:
        return []
    include = IncludeLaunchDescription(AnyLaunchDescriptionSource(arguments.file(name)))
    # Without `forwarding` the group starts with the environment of the shell.
    actions = [*fastdds_profile(arguments['fastdds_profile']), include]
    return [GroupAction(actions, scoped=True, forwarding=False)]


def warn_of_undeclared(names: Iterable[str], declared: Iterable[str]) -> None:
    """
    Warn of each launch argument that no one declared and that resembles a declared one.

    Others may be arguments of the launch file that includes this one.
    """
    for name in sorted(set(names) - {*declared, *OF_LAUNCH}):
        longer = (each for each in declared if len(name) > 2 and name in each)
        nearest = RENAMED.get(name) or nearest_name(name, declared) or next(longer, None)
        if nearest is not None:
            get_logger(PACKAGE).warning(
                f'no launch argument {name!r}, the nearest is {nearest!r}; the value is ignored'
            )


def launch_description(
    arguments: Mapping[str, Argument], start: Callable[[Arguments], list]
) -> LaunchDescription:
    """
    Return a launch description with declared arguments.

    start: returns the actions for the values of the arguments; may raise ValueError.
    """

    def run(context: LaunchContext) -> list:
        warn_of_undeclared(context.launch_configurations, arguments)
        given = Arguments(context.launch_configurations)
        return [*fastdds_profile(given['fastdds_profile']), *start(given)]

    declarations = [
        DeclareLaunchArgument(
            name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for name, argument in arguments.items()
    ]
    return LaunchDescription([*declarations, OpaqueFunction(function=run)])
