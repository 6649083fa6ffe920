"""Set a parameter of a running node, as the command of ROS 2 does, which no wheel contains."""

from __future__ import annotations

import argparse
import sys

import rclpy
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import get_parameter_value

TIMEOUT = 10.0  # [s] to find the node, then for its response


def set_parameter(node: Node, target: str, name: str, value: str) -> None:
    """
    Set a parameter of the node `target`; the value is parsed as YAML.

    Raises TimeoutError if the node is not found or does not answer, ValueError with the reason if
    it refuses the value.
    """
    client = node.create_client(SetParameters, f'{target}/set_parameters')
    if not client.wait_for_service(TIMEOUT):
        names = node.get_node_names_and_namespaces()
        found = {f'{space.rstrip("/")}/{name}' for name, space in names}
        others = ', '.join(sorted(found - {node.get_fully_qualified_name()})) or 'none'
        raise TimeoutError(
            f'no node {target} in the ROS domain {node.context.get_domain_id()}; found: {others}'
        )
    parameter = Parameter(name=name, value=get_parameter_value(value))
    future = client.call_async(SetParameters.Request(parameters=[parameter]))
    rclpy.spin_until_future_complete(node, future, timeout_sec=TIMEOUT)
    if not future.done():
        raise TimeoutError(f'{target} has not answered for {TIMEOUT:g} s')
    (result,) = future.result().results
    if not result.successful:
        raise ValueError(f'{target} refuses {name}: {result.reason}')


def main() -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog='./dev param', description=__doc__, epilog='Set ROS_DOMAIN_ID to that of the node.'
    )
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser('set', help='./dev param set /superpoint detector.threshold 0.1')
    add.add_argument('node', metavar='NODE', help='its full name: /superpoint, /tracker')
    add.add_argument('name', metavar='NAME')
    add.add_argument('value', metavar='VALUE')
    args = parser.parse_args()
    rclpy.init(args=[])
    node = rclpy.create_node('param')
    try:
        set_parameter(node, args.node, args.name, args.value)
    except (TimeoutError, ValueError) as error:
        print(f'param: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(f'{args.node}: {args.name} is set to {args.value}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
