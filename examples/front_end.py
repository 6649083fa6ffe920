"""
Track keypoints in the images of a topic, in this process, and print the oldest tracks.

  python3 examples/front_end.py /cam0/image
"""

import sys

import rclpy
from rclpy.signals import SignalHandlerOptions

from superpoint_rknn import FrontEnd


def show(tracks):
    """Print the oldest tracks of an image, a superpoint_rknn/Keypoints message."""
    stamp = tracks.header.stamp
    oldest = list(zip(tracks.id, tracks.x, tracks.y, strict=True))[:4]
    places = ', '.join(f'{i} at ({x:.1f}, {y:.1f})' for i, x, y in oldest)
    print(f'{stamp.sec}.{stamp.nanosec:09}: {len(tracks.id)} tracks: {places}', flush=True)


def main(topic='image'):
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C raises KeyboardInterrupt
    try:
        with FrontEnd(
            remappings={'image': topic},
            parameters={'max_tracks': 100, 'detector.subpixel': True, 'keypoints_wait': 1.0},
        ) as front_end:
            front_end.on_tracks(show)
            front_end.spin()
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main(*sys.argv[1:2])
