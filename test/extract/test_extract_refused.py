"""Inputs that the command rejects without changing a file."""

from recorded import ROS2, files_of, image_of, lines, write_bag
from rosbags.rosbag2 import StoragePlugin


def test_only_results_of_extract_are_replaced(tmp_path, bag, pictures, extract, capsys):
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis/chapter.tex').write_text('precious')
    other = write_bag(tmp_path / 'other', {'/image': [image_of(ROS2, 0, pictures[0])]})
    before = files_of(tmp_path)
    for place in ('thesis', 'thesis/chapter.tex', 'other', 'drive', 'drive/out', '.'):
        assert extract(bag, '-o', tmp_path / place, '--force') == 1
        assert str(tmp_path / place) in capsys.readouterr().err
    assert extract(bag, other, '-o', tmp_path / 'other') == 1
    (tmp_path / 'way').symlink_to('drive')
    for place in ('way/out', 'other/../drive/out', 'way'):
        assert extract(bag, '-o', tmp_path / place, '--force') == 1
        assert 'must not contain each other' in capsys.readouterr().err
    (tmp_path / 'way').unlink()
    assert files_of(tmp_path) == before


def test_two_recordings_with_the_same_name(tmp_path, bag, extract, capsys):
    (single,) = bag.glob('*.mcap')
    assert extract(bag, single, '-o', tmp_path / 'out') == 1
    err = capsys.readouterr().err
    assert f'{bag} and {single} would both be written to' in err
    assert not (tmp_path / 'out').exists()


def test_ambiguous_topics(tmp_path, pictures, extract, capsys):
    images = [image_of(ROS2, 0, pictures[0])]
    bag = write_bag(tmp_path / 'two', {'/cam/left': images, '/cam/right': images * 2})
    for options, reason in (
        ((), 'image topics: /cam/left (1), /cam/right (2); choose with --topic'),
        (('--topic', '/cam/up'), "no images on '/cam/up'"),
        (('--topic', '/cam/left', '--topic', '/cam/right'), 'would share /cam/keypoints'),
    ):
        assert extract(bag, '-o', tmp_path / 'out', *options) == 1
        assert reason in capsys.readouterr().err
    assert extract(bag, '-o', tmp_path / 'out', '--topic', '/cam/right') == 1  # repeated stamps


def test_recordings_that_can_not_be_used(tmp_path, bag, pictures, extract, capfd):
    depth = [image_of(ROS2, 0, pictures[0], encoding='32FC1')]
    write_bag(tmp_path / 'unknown', {'/image': depth})
    write_bag(tmp_path / 'blind', {'/header': [depth[0].header]})
    vast = bytearray(next(bag.glob('*.mcap')).read_bytes())
    vast[9:17] = (2**62).to_bytes(8, 'little')  # length of the first record
    (tmp_path / 'vast.mcap').write_bytes(vast)
    (tmp_path / 'empty.mcap').touch()
    (tmp_path / 'words.bag').write_text('no bag')
    for name, reason in (
        ('nowhere', 'no such file or folder'),
        ('unknown', "none of 1 images could be used: /image:0: encoding: '32FC1'"),
        ('blind', 'blind: image topics: none'),
        ('vast.mcap', 'vast.mcap: image topics: none'),
        ('empty.mcap', 'empty.mcap: not a readable recording: empty.mcap: an empty file'),
        ('words.bag', 'words.bag: not a readable recording: words.bag: its first bytes'),
    ):
        assert extract(tmp_path / name, '-o', tmp_path / 'out') == 1
        (line,) = lines(capfd.readouterr().err)
        assert reason in line
        assert not list(tmp_path.glob('out*'))


def test_names_that_sqlite_parses_as_uris(tmp_path, pictures, extract):
    images = [image_of(ROS2, 0, pictures[0])]
    bag = write_bag(tmp_path / 'drive', {'/image': images}, StoragePlugin.SQLITE3)
    for name in ('drive#2', 'drive?2', '100%41'):
        bag = bag.rename(tmp_path / name)
        assert extract(bag, '-o', tmp_path / 'out' / name) == 0


def test_bad_parameters(tmp_path, bag, extract, capsys):
    (tmp_path / 'bad.yaml').write_text('/**:\n  ros__parameters:\n    detector:\n      nms: 3\n')
    (tmp_path / 'resiz.yaml').write_text('/cam0/superpoint: {ros__parameters: {resiz: crop}}')
    (tmp_path / 'no.yaml').write_text('a: 1\n')
    (tmp_path / 'vast.pgm').write_text('P5 40000 40000 255\n')
    for options, reason in (
        (('-p', 'detector.threshold:=2'), '-p detector.threshold: 2, expected 0 to 1'),
        (('-p', 'detector.nms_radius:=2.5'), 'detector.nms_radius: 2.5'),
        (('-p', 'resize:=squeeze'), "resize: 'squeeze'"),
        (('-p', 'threshold'), 'expected NAME:=VALUE'),
        (('-p', 'grid:=[5, [8'), '-p grid:=[5, [8: '),
        (('-p', f'mask:={tmp_path}/no.png'), 'no.png: No such file'),
        (('-p', f'mask:={tmp_path}/vast.pgm'), 'vast.pgm: PNM image of 40000x40000 pixels'),
        (('--params', tmp_path / 'bad.yaml'), "no parameter 'detector.nms'"),
        (
            ('--params', tmp_path / 'resiz.yaml'),
            "resiz.yaml: no parameter 'resiz', the nearest is 'resize'",
        ),
        (('-p', 'treshold:=1'), "no parameter 'treshold', the nearest is 'detector.threshold'"),
        (('--params', tmp_path / 'no.yaml'), 'no ROS parameter file'),
        (('--params', tmp_path / 'none.yaml'), 'none.yaml'),
        (('--descriptors-rate', '-1'), 'descriptors-rate -1.0'),
        (('--jobs', '0'), '--jobs 0'),
        (('--jobs', '2', '--scheduler', 'tcp://localhost:1'), '--jobs and --scheduler'),
        (('--json', tmp_path / 'none/f.json'), 'f.json: no such folder'),
        (('--model', tmp_path / 'none.onnx'), 'none.onnx: no such file'),
    ):
        assert extract(bag, '-o', tmp_path / 'out', *options) == 1
        assert reason in capsys.readouterr().err
    assert not list(tmp_path.glob('out*'))
