"""
Message definitions of foxglove_msgs that annotations need, for a package built by a test.

Fields as published at docs.ros.org for foxglove_msgs, without their comments.
"""

DEFINITIONS = {
    'Color': 'float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n',
    'Point2': 'float64 x\nfloat64 y\n',
    'PointsAnnotation': (
        'builtin_interfaces/Time timestamp\n'
        'uint8 UNKNOWN=0\nuint8 POINTS=1\nuint8 LINE_LOOP=2\nuint8 LINE_STRIP=3\n'
        'uint8 LINE_LIST=4\n'
        'uint8 type\nPoint2[] points\nColor outline_color\nColor[] outline_colors\n'
        'Color fill_color\nfloat64 thickness\n'
    ),
    'CircleAnnotation': (
        'builtin_interfaces/Time timestamp\nPoint2 position\nfloat64 diameter\n'
        'float64 thickness\nColor fill_color\nColor outline_color\n'
    ),
    'TextAnnotation': (
        'builtin_interfaces/Time timestamp\nPoint2 position\nstring text\nfloat64 font_size\n'
        'Color text_color\nColor background_color\n'
    ),
    'ImageAnnotations': (
        'CircleAnnotation[] circles\nPointsAnnotation[] points\nTextAnnotation[] texts\n'
    ),
}
PACKAGE = """<package format="3"><name>foxglove_msgs</name><version>0.0.0</version>
<description>test</description><maintainer email="test@example.com">test</maintainer>
<license>MIT</license>
<buildtool_depend>ament_cmake</buildtool_depend>
<member_of_group>rosidl_interface_packages</member_of_group></package>
"""
CMAKE = """cmake_minimum_required(VERSION 3.20)
project(foxglove_msgs C CXX)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(builtin_interfaces REQUIRED)
set_target_properties(builtin_interfaces::builtin_interfaces__rosidl_generator_py
  PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
rosidl_generate_interfaces(foxglove_msgs {files} DEPENDENCIES builtin_interfaces)
ament_package()
"""
