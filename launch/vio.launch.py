"""Start a camera driver, superpoint, tracker and an estimator; --show-args lists arguments."""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, SetParameter, SetParametersFromFile, SetRemap
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from superpoint_rknn.nodes.common.launch_arguments import boolean

# Restart topic by feature_format, where it is not /feature_tracker/restart.
RESTART = {'vins_fusion': '/vins_restart'}


def included(path):
    """Include another launch file with its own arguments only; nothing if `path` is empty."""
    if not path:
        return []
    return [
        GroupAction(
            [IncludeLaunchDescription(AnyLaunchDescriptionSource(path))],
            scoped=True,
            forwarding=False,
        )
    ]


def nodes(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    style, rate, autostart = value('feature_format'), value('feature_rate'), value('autostart')
    composed = boolean('composed', value('composed'))
    given = {
        **({'feature.format': ParameterValue(style, value_type=str)} if style else {}),
        **({'feature.rate': float(rate)} if rate else {}),
        **({'autostart': boolean('autostart', autostart)} if autostart else {}),
    }
    package = FindPackageShare('superpoint_rknn')
    superpoint = IncludeLaunchDescription(
        AnyLaunchDescriptionSource(
            PathJoinSubstitution([package, 'launch', 'superpoint.launch.py'])
        ),
        launch_arguments={
            'camera': value('camera'),
            'image': value('image'),
            'params_file': value('superpoint_params'),
            'model': value('model'),
            'runtime': value('runtime'),
            'autostart': autostart,
            'composed': value('composed'),
        }.items(),
    )
    if composed:
        front_end = [
            SetParametersFromFile(value('tracker_params')),
            *(SetParameter(*parameter) for parameter in given.items()),
            superpoint,
        ]
    else:
        tracker = Node(
            package='superpoint_rknn',
            executable='tracker_node',
            name='tracker',
            namespace=value('camera'),
            output='screen',
            remappings=[('image', value('image'))],
            parameters=[value('tracker_params'), *([given] if given else [])],
        )
        front_end = [superpoint, tracker]
    topics = [
        *((name, value(name)) for name in ('camera_info', 'feature')),
        ('restart', value('restart') or RESTART.get(style, '/feature_tracker/restart')),
        # Viewers show `overlay`: here, the overlay of the tracker.
        ('overlay', 'keypoints_overlay'),
        ('tracks_overlay', 'overlay'),
    ]
    front_end = GroupAction([*(SetRemap(*names) for names in topics), *front_end])
    return [*included(value('camera_launch')), front_end, *included(value('estimator_launch'))]


def generate_launch_description():
    config = PathJoinSubstitution([FindPackageShare('superpoint_rknn'), 'config'])
    arguments = {
        'camera_launch': (
            '',
            "path of the camera driver's launch file; empty: it is started elsewhere",
        ),
        'estimator_launch': ('', "path of the estimator's launch file; empty: none"),
        'camera': ('', 'namespace of the camera: its topics are CAMERA/image, CAMERA/camera_info'),
        'image': ('image', 'topic of the images, if not `image` in the namespace'),
        'camera_info': (
            'camera_info',
            'topic of the calibration, if not `camera_info` in the namespace',
        ),
        'feature': (
            '/feature_tracker/feature',
            'topic of the features; VINS-Fusion and VINS-Mono use the default',
        ),
        'restart': (
            '',
            'topic of restart requests to the estimator (empty: /vins_restart if feature_format '
            'is vins_fusion, else /feature_tracker/restart)',
        ),
        'feature_format': ('', 'off, vins_fusion or vins_mono (empty: as in config)'),
        'feature_rate': (
            '',
            'rate of `feature` [Hz], see docs/tracking.md; 0: every image (empty: as in config)',
        ),
        'composed': ('false', 'true: superpoint and tracker in one process'),
        'config': (
            PathJoinSubstitution([config, 'mono_30hz.yaml']),
            'YAML file of parameters of both nodes; another one is stereo_20hz.yaml',
        ),
        'superpoint_params': (
            LaunchConfiguration('config'),
            'YAML file of superpoint, if not config',
        ),
        'tracker_params': (
            LaunchConfiguration('config'),
            'YAML file of the tracker, if not config',
        ),
        'model': ('', 'model file, or superpoint_small; empty: superpoint'),
        'runtime': ('', 'auto, librknn, rknnlite or onnx (empty: as in config)'),
        'autostart': (
            '',
            'true: configure and activate both nodes at startup; false: wait for a lifecycle '
            'manager (empty: as in config)',
        ),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            OpaqueFunction(function=nodes),
        ]
    )
