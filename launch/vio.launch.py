"""From camera to estimator: ros2 launch superpoint_rknn vio.launch.py --show-args."""

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

# where an estimator listens that doesn't do so at /feature_tracker/restart
RESTART = {'vins_fusion': '/vins_restart'}


def included(path):
    """Another launch file, with its own arguments only; nothing without a path."""
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

    style, rate = value('feature_format'), value('feature_rate')
    given = {
        **({'feature.format': ParameterValue(style, value_type=str)} if style else {}),
        **({'feature.rate': float(rate)} if rate else {}),
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
            'composed': value('composed'),
        }.items(),
    )
    if value('composed') == 'true':
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
        # of the two overlays the tracks are what one wants to see
        ('overlay', 'keypoints_overlay'),
        ('tracks_overlay', 'overlay'),
    ]
    front_end = GroupAction([*(SetRemap(*names) for names in topics), *front_end])
    return [*included(value('camera_launch')), front_end, *included(value('estimator_launch'))]


def generate_launch_description():
    config = PathJoinSubstitution([FindPackageShare('superpoint_rknn'), 'config'])
    arguments = {
        'camera_launch': ('', "path of the camera driver's launch file; empty: it runs already"),
        'estimator_launch': ('', "path of the estimator's launch file; empty: none"),
        'camera': ('', 'namespace of the camera: its topics are CAMERA/image, CAMERA/camera_info'),
        'image': ('image', 'topic of the images, if not `image` in that namespace'),
        'camera_info': ('camera_info', 'topic of the calibration, if not beside the images'),
        'feature': ('/feature_tracker/feature', 'topic of the features, as estimators have it'),
        'restart': (
            '',
            'topic that tells estimators to begin anew (empty: /vins_restart where feature_format '
            'is vins_fusion, else /feature_tracker/restart)',
        ),
        'feature_format': ('', 'off, vins_fusion or vins_mono (empty: as in config)'),
        'feature_rate': ('', 'most features a second; 0: each image (empty: as in config)'),
        'composed': ('false', 'true: superpoint and tracker in one process'),
        'config': (
            PathJoinSubstitution([config, 'mono_30hz.yaml']),
            'YAML of parameters of both nodes; beside it there is stereo_20hz.yaml',
        ),
        'superpoint_params': (LaunchConfiguration('config'), 'another one for superpoint'),
        'tracker_params': (LaunchConfiguration('config'), 'another one for tracker'),
        'model': ('', 'path of the network, or superpoint_small; empty: superpoint'),
        'runtime': ('', 'auto, librknn, rknnlite or onnx (empty: as in config)'),
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
