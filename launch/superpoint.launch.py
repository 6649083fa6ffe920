"""Start the superpoint node; `ros2 launch ... --show-args` lists the arguments."""

from superpoint_rknn.nodes.common.launch_arguments import (
    COMMON,
    Argument,
    config_file,
    launch_description,
    node,
)


def start(arguments):
    files = [arguments.file('params_file')]
    if arguments.is_true('composed'):
        return [node(arguments, 'front_end', files)]
    return [node(arguments, 'superpoint_node', files, name='superpoint')]


def generate_launch_description():
    file = Argument(config_file('superpoint.yaml'), 'YAML file of parameters')
    return launch_description({'params_file': file, **COMMON}, start)
