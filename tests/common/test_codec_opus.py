from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs import read_marks
from hushroom_common.ids import Codec


@given(st.binary(max_size=1500))
def test_a_receiver_may_begin_with_any_packet(payload: bytes) -> None:
    marks = read_marks(Codec.OPUS)(payload)
    assert marks.starts_frame
    assert marks.starts_keyframe
    assert marks.ends_frame
    assert (marks.temporal_id, marks.spatial_id) == (0, 0)
