import pytest

from superpoint_rknn.nodes.common.in_process import Channel, InProcessCameras


def test_a_channel_hands_the_object_itself_to_whoever_listens():
    channel = Channel()
    channel.send('nobody hears it')
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


def test_feeds_are_made_when_first_asked_for():
    in_process = InProcessCameras()
    heard = []
    in_process['cam0'].keypoints.subscribe(heard.append)
    in_process['cam0'].keypoints.send(1)
    in_process['cam1'].keypoints.send(2)
    assert heard == [1]
    assert list(in_process) == ['cam0', 'cam1']
