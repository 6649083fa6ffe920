import pytest

from superpoint_rknn.nodes.common.in_process import Channel, InProcessCameras


def test_a_channel_passes_the_object_itself_to_its_subscribers():
    channel = Channel()
    channel.send('without subscribers')
    assert not channel
    first, second = [], []
    channel.subscribe(first.append)
    channel.subscribe(second.append)
    assert channel
    item = object()
    channel.send(item)
    channel.unsubscribe(first.append)
    channel.send('later')
    assert first == [item]
    assert first[0] is item
    assert second == [item, 'later']
    channel.unsubscribe(second.append)
    assert not channel
    with pytest.raises(ValueError, match='not in list'):
        channel.unsubscribe(second.append)


def test_cameras_are_created_at_first_access():
    in_process = InProcessCameras()
    received = []
    in_process['cam0'].keypoints.subscribe(received.append)
    in_process['cam0'].keypoints.send(1)
    in_process['cam1'].keypoints.send(2)
    assert received == [1]
    assert list(in_process) == ['cam0', 'cam1']
