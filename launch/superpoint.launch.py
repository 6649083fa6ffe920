"""Start the superpoint node of one camera; `ros2 launch ... --show-args` lists the arguments."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from superpoint_rknn.nodes.common.launch_arguments import boolean

# Arguments that override the parameter file if they are given.
PARAMETERS = {
    'model': 'model file, or superpoint_small; empty: superpoint',
    'runtime': 'auto, librknn, rknnlite or onnx',
    'autostart': 'true: configure and activate at startup; false: wait for a lifecycle manager',
}


def superpoint_node(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    autostart = value('autostart')
    texts = {name: value(name) for name in ('model', 'runtime') if value(name)}
    given = {
        **{name: ParameterValue(text, value_type=str) for name, text in texts.items()},
        **({'autostart': boolean('autostart', autostart)} if autostart else {}),
    }
    composed = boolean('composed', value('composed'))
    return [
        Node(
            package='superpoint_rknn',
            executable='front_end' if composed else 'superpoint_node',
            name=None if composed else 'superpoint',  # it would rename both nodes
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
        'image': ('image', 'topic of the images, if not `image` in the namespace'),
        'params_file': (
            PathJoinSubstitution([config, 'superpoint.yaml']),
            'YAML file of parameters',
        ),
        **{
            name: ('', f'{description} (empty: as in params_file)')
            for name, description in PARAMETERS.items()
        },
        'composed': ('false', 'true: start the tracker in the same process (see vio.launch.py)'),
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
            # The name of the variable in Fast DDS 2; version 3 warns about it.
            SetEnvironmentVariable(
                'FASTRTPS_DEFAULT_PROFILES_FILE',
                profile,
                condition=IfCondition(str(os.environ.get('ROS_DISTRO') in ('humble', 'jazzy'))),
            ),
            OpaqueFunction(function=superpoint_node),
        ]
    )
