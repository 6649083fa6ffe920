"""
Let Nav2's lifecycle manager start and stop both nodes.

  ros2 launch examples/nav2_lifecycle.launch.py

The nodes do not configure themselves (autostart: false). They have no bond with the manager, so
bond_timeout is 0. Loading a model takes seconds, and a minute on an RV1126. Tried with a stand-in
for the manager, not with Nav2.
"""

from launch import LaunchDescription
from launch_ros.actions import Node

NODES = ['superpoint', 'tracker']


def generate_launch_description():
    """Return both nodes and the manager."""
    started = [
        Node(
            package='superpoint_rknn',
            executable=f'{name}_node',
            name=name,
            parameters=[{'autostart': False}],
            output='screen',
        )
        for name in NODES
    ]
    manager = Node(
        package='nav2_lifecycle_manager',
        executable='lifecycle_manager',
        name='lifecycle_manager_features',
        parameters=[{'autostart': True, 'node_names': NODES, 'bond_timeout': 0.0}],
        output='screen',
    )
    return LaunchDescription([*started, manager])
