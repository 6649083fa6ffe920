"""One camera's superpoint node: ros2 launch superpoint_rknn superpoint.launch.py --show-args."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# arguments that win over the parameter file where they are given
PARAMETERS = {
    'model': (str, 'path of the network, or superpoint_small; empty: superpoint'),
    'runtime': (str, 'auto, librknn, rknnlite or onnx'),
    'autostart': (bool, 'true: configure and activate by itself; false: wait for a manager'),
}


def superpoint_node(context):
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _) in PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    composed = LaunchConfiguration('composed').perform(context) == 'true'
    return [
        Node(
            package='superpoint_rknn',
            executable='front_end' if composed else 'superpoint_node',
            name=None if composed else 'superpoint',  # it would be the name of both
            namespace=LaunchConfiguration('camera'),
            output='screen',
            remappings=[('image', LaunchConfiguration('image'))],
            parameters=[LaunchConfiguration('params_file'), *([given] if given else [])],
        )
    ]


def generate_launch_description():
    config = PathJoinSubstitution([FindPackageShare('superpoint_rknn'), 'config'])
    arguments = {
        'camera': ('', 'namespace of the camera: its topic is CAMERA/image'),
        'image': ('image', 'topic of the images, if not `image` in that namespace'),
        'params_file': (PathJoinSubstitution([config, 'superpoint.yaml']), 'YAML of parameters'),
        **{
            name: ('', f'{description} (empty: as in params_file)')
            for name, (_, description) in PARAMETERS.items()
        },
        'composed': ('false', 'true: the tracker too, in the same process (see vio.launch.py)'),
        'fastdds_profile': (
            EnvironmentVariable(
                'FASTDDS_DEFAULT_PROFILES_FILE',
                default_value=PathJoinSubstitution([config, 'fastdds.xml']),
            ),
            'Fast DDS profile; the default has room for images in shared memory',
        ),
    }
    profile = LaunchConfiguration('fastdds_profile')
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            SetEnvironmentVariable('FASTDDS_DEFAULT_PROFILES_FILE', profile),
            # the name that Fast DDS 2 knows; version 3 warns of it
            SetEnvironmentVariable(
                'FASTRTPS_DEFAULT_PROFILES_FILE',
                profile,
                condition=IfCondition(str(os.environ.get('ROS_DISTRO') in ('humble', 'jazzy'))),
            ),
            OpaqueFunction(function=superpoint_node),
        ]
    )
