"""Start a camera driver, superpoint, tracker and an estimator; --show-args lists arguments."""

import shutil
import tempfile
from pathlib import Path

from launch.actions import GroupAction, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch_ros.actions import Node, SetRemap
from launch_ros.parameter_descriptions import ParameterValue

from superpoint_rknn.layouts.camera_topics import camera_topics
from superpoint_rknn.layouts.rviz import rviz_config
from superpoint_rknn.nodes.common.launch_arguments import (
    BOOLEANS,
    COMMON,
    IN_FILE,
    Argument,
    config_file,
    included,
    launch_description,
    node,
)

# Restart topic by feature_format, where it is not /feature_tracker/restart.
RESTART = {'vins_fusion': '/vins_restart'}

ARGUMENTS = {
    'camera_launch': Argument(
        '', "path of the camera driver's launch file; empty: it is started elsewhere"
    ),
    'estimator_launch': Argument('', "path of the estimator's launch file; empty: none"),
    'params_file': Argument(
        config_file('mono_30hz.yaml'),
        'YAML file of parameters of both nodes; another one is stereo_20hz.yaml',
    ),
    'superpoint_params': Argument('', 'YAML file of superpoint, if not params_file'),
    'tracker_params': Argument('', 'YAML file of the tracker, if not params_file'),
    **COMMON,
    'camera_info': Argument(
        'camera_info', 'topic of the calibration, if not `camera_info` in the namespace'
    ),
    'feature': Argument(
        '/feature_tracker/feature',
        'topic of the features; VINS-Fusion and VINS-Mono use the default',
    ),
    'restart': Argument(
        '',
        'topic of restart requests to the estimator (empty: /vins_restart if feature_format is '
        'vins_fusion, else /feature_tracker/restart)',
    ),
    'feature_format': Argument(
        '', f'format of `feature` {IN_FILE}', ('', 'off', 'vins_fusion', 'vins_mono')
    ),
    'rviz': Argument('false', 'also start RViz with the images of the cameras', BOOLEANS),
    'feature_rate': Argument(
        '', f'rate of `feature` [Hz], see docs/tracking.md; 0: every image {IN_FILE}'
    ),
}


def front_end(arguments):
    """Both nodes, in one process or two."""
    files = [
        arguments.file(name if arguments[name] else 'params_file')
        for name in ('superpoint_params', 'tracker_params')
    ]
    features = {}
    if arguments['feature_format']:
        style = ParameterValue(arguments['feature_format'], value_type=str)
        features['feature.format'] = style
    if arguments['feature_rate']:
        features['feature.rate'] = arguments.number('feature_rate')
    if arguments.is_true('composed'):
        return [node(arguments, 'front_end', files, features)]
    return [
        node(arguments, 'superpoint_node', files[:1], name='superpoint'),
        node(arguments, 'tracker_node', files[1:], features, name='tracker'),
    ]


def rviz(arguments):
    """RViz with a configuration file for the cameras."""
    if not arguments.is_true('rviz'):
        return []
    cameras = camera_topics(
        [arguments.namespace()], arguments.cameras() or [''], arguments['image']
    )
    config = Path(tempfile.mkdtemp(prefix='superpoint_rknn_'), 'superpoint.rviz')
    config.write_text(rviz_config(cameras))
    return [
        Node(package='rviz2', executable='rviz2', arguments=['-d', str(config)]),
        RegisterEventHandler(
            OnShutdown(on_shutdown=lambda *_: shutil.rmtree(config.parent, ignore_errors=True))
        ),
    ]


def start(arguments):
    restart = RESTART.get(arguments['feature_format'], '/feature_tracker/restart')
    topics = [
        *arguments.remappings('camera_info', arguments['camera_info']),
        ('feature', arguments['feature']),
        ('restart', arguments['restart'] or restart),
    ]
    return [
        *included(arguments, 'camera_launch'),
        GroupAction([*(SetRemap(*names) for names in topics), *front_end(arguments)]),
        *included(arguments, 'estimator_launch'),
        *rviz(arguments),
    ]


def generate_launch_description():
    return launch_description(ARGUMENTS, start)
