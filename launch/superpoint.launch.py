"""One camera's superpoint node: ros2 launch superpoint_rknn superpoint.launch.py --show-args."""

import os

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description():
    config = PathJoinSubstitution([FindPackageShare('superpoint_rknn'), 'config'])
    arguments = {
        'camera': ('', 'namespace of the camera: its topic is CAMERA/image'),
        'image': ('image', 'topic of the images, if not `image` in that namespace'),
        'model': ('', 'path of the network; empty: the shipped one for this machine'),
        'runtime': ('auto', 'auto, librknn, rknnlite or onnx'),
        'params_file': (
            PathJoinSubstitution([config, 'superpoint.yaml']),
            'YAML file of parameters',
        ),
        'autostart': ('true', 'configure and activate by itself'),
        'fastdds_profile': (
            EnvironmentVariable(
                'FASTDDS_DEFAULT_PROFILES_FILE',
                default_value=PathJoinSubstitution([config, 'fastdds.xml']),
            ),
            'Fast DDS profile; the default has room for images in shared memory',
        ),
    }
    value = LaunchConfiguration
    profile = value('fastdds_profile')
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
            Node(
                package='superpoint_rknn',
                executable='superpoint_node',
                name='superpoint',
                namespace=value('camera'),
                output='screen',
                remappings=[('image', value('image'))],
                parameters=[
                    value('params_file'),
                    {
                        'model': ParameterValue(value('model'), value_type=str),
                        'runtime': ParameterValue(value('runtime'), value_type=str),
                        'autostart': ParameterValue(value('autostart'), value_type=bool),
                    },
                ],
            ),
        ]
    )
