"""vio.launch.py with the real launch system, on machines that have it."""

import shutil
import sys
from pathlib import Path

import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters

pytestmark = pytest.mark.usefixtures('launch_system')

VIO = Path(__file__).resolve().parents[2] / 'launch' / 'vio.launch.py'
LAUNCH = """
import shutil
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService()
source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [a.split(':=') for a in sys.argv[2:]]
include = IncludeLaunchDescription(source, launch_arguments=arguments)
service.include_launch_description(LaunchDescription([include]))
sys.exit(service.run())
"""
DRIVER = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('model', default_value='own_default'),
        LogInfo(msg=['{0} ', LaunchConfiguration('model')]),
        LogInfo(msg=['{0} profile ', EnvironmentVariable('FASTDDS_DEFAULT_PROFILES_FILE')]),
    ])
"""


@pytest.mark.parametrize(
    ('composed', 'style', 'restart'),
    [
        ('false', 'vins_mono', '/feature_tracker/restart'),
        ('true', 'vins_fusion', '/vins_restart'),
    ],
)
def test_vio_launch_starts_camera_superpoint_tracker_and_estimator(
    graph, tmp_path, composed, style, restart
):
    shutil.copy(VIO.parents[1] / 'config' / 'fastdds.xml', tmp_path)
    for name in ('camera', 'estimator'):
        (tmp_path / f'{name}.launch.py').write_text(DRIVER.format(name))
    given = {
        'camera': 'cam7',
        'model': VIO.parents[1] / 'models' / 'superpoint_400x640_u8.onnx',
        'feature_format': style,
        'feature_rate': '10',
        'composed': composed,
        'modle': 'typo',
        'fastdds_profile': tmp_path / 'fastdds.xml',
        'camera_launch': tmp_path / 'camera.launch.py',
        'estimator_launch': tmp_path / 'estimator.launch.py',
    }
    arguments = [f'{name}:={value}' for name, value in given.items()]
    process = graph.start_program(sys.executable, '-c', LAUNCH, VIO, *arguments)

    def state(node):
        return graph.call(GetState, f'cam7/{node}/get_state', GetState.Request()).current_state.id

    for node in ('superpoint', 'tracker'):
        graph.wait(lambda n=node: state(n) == State.PRIMARY_STATE_ACTIVE, f'{node} to be active')
    topics = ('image', 'keypoints', 'descriptors', 'camera_info')
    expected = [1, 0, 0, 1] if composed == 'true' else [2, 1, 1, 1]

    def subscribers():
        return [graph.node.count_subscribers(f'cam7/{topic}') for topic in topics]

    graph.wait(lambda: subscribers() == expected, f'{expected} subscriptions')
    published = ('tracks', 'overlay', 'tracks_overlay')
    for topic in (*published, '/feature_tracker/feature', restart):
        resolved = topic if topic.startswith('/') else f'/cam7/{topic}'
        assert graph.node.count_publishers(resolved) == 1, topic
    request = GetParameters.Request(names=['feature.format', 'feature.rate'])
    values = graph.call(GetParameters, 'cam7/tracker/get_parameters', request).values
    assert (values[0].string_value, values[1].double_value) == (style, 10.0)
    for name in ('camera', 'estimator'):
        assert f'{name} own_default' in process.log.read_text()
        assert f'{name} profile {tmp_path}/fastdds.xml' in process.log.read_text()
    assert "no launch argument 'modle', the nearest is 'model'" in process.log.read_text()
    assert graph.interrupt(process)[0] in (0, 1)  # launch may exit with 1 after an interrupt
    processes = 1 if composed == 'true' else 2
    assert process.log.read_text().count('process has finished cleanly') == processes
