"""The dependency descriptor, a header extension (AV1 RTP payload format, appendix A): layers, whatever the codec.

Keyframes carry a structure of templates, later packets name one of them; so reading needs the stream's last structure.
What the templates say of references, chains and decode targets is stepped over: no layer is chosen by it.
"""

from typing import NamedTuple

from hushroom_common.codecs.marks import Marks
from hushroom_common.errors import WireError

__all__ = ["DependencyDescriptor", "DependencyDescriptorReader"]

_MANDATORY_SIZE = 3
_MAX_TEMPLATES = 64  # named by 6 bits
_MAX_SPATIAL_ID, _MAX_TEMPORAL_ID = 3, 7
_NEXT_TEMPORAL, _NEXT_SPATIAL, _NO_MORE_LAYERS = 1, 2, 3


class DependencyDescriptor(NamedTuple):
    """One packet's descriptor, as far as it is read."""

    starts_frame: bool
    ends_frame: bool
    starts_keyframe: bool
    """The packet carries a structure: with it starts a coded video sequence."""
    frame_number: int
    """Modulo 65536; all spatial layers of a stream share one count."""
    temporal_id: int
    """0, as `spatial_id`, where the frame's structure is unknown (its packet is lost): the frame is for everybody."""
    spatial_id: int

    def refine(self, marks: Marks) -> Marks:
        """The marks of the payload, with what the descriptor knows better: frame and layers."""
        return marks._replace(
            starts_frame=self.starts_frame,
            ends_frame=self.ends_frame,
            starts_keyframe=self.starts_keyframe,
            temporal_id=self.temporal_id,
            spatial_id=self.spatial_id,
        )


class _Structure(NamedTuple):
    template_id_offset: int
    layers: tuple[tuple[int, int], ...]
    """(spatial id, temporal id) of each template."""


class DependencyDescriptorReader:
    """Reads the descriptors of one RTP stream (SSRC) in the order of their arrival."""

    __slots__ = ("_structure",)

    def __init__(self) -> None:
        self._structure: _Structure | None = None

    def read(self, extension: bytes) -> DependencyDescriptor:
        """Read one packet's extension. Raises WireError, and keeps the structure it had, when it is malformed."""
        size = len(extension)
        if size < _MANDATORY_SIZE:
            raise WireError("dependency descriptor is shorter than its mandatory fields")
        first = extension[0]
        starts_frame = first & 0x80 != 0
        has_structure = size > _MANDATORY_SIZE and extension[3] & 0x80 != 0
        if has_structure:
            if not starts_frame:
                raise WireError("dependency descriptor with a structure inside a frame")
            structure = _read_structure(_Bits(extension, skip=8 * _MANDATORY_SIZE + 5))
            if (first & 0x3F) - structure.template_id_offset & 0x3F >= len(structure.layers):
                raise WireError("dependency descriptor names a template that its own structure lacks")
            self._structure = structure
        spatial_id, temporal_id = self._layer(first & 0x3F)
        frame_number = extension[1] << 8 | extension[2]
        return DependencyDescriptor(
            starts_frame, first & 0x40 != 0, has_structure, frame_number, temporal_id, spatial_id
        )

    def _layer(self, template_id: int) -> tuple[int, int]:
        structure = self._structure
        if structure is not None:
            index = template_id - structure.template_id_offset & 0x3F
            if index < len(structure.layers):
                return structure.layers[index]
        return 0, 0


class _Bits:
    """Bits of a byte string, most significant first."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes, *, skip: int) -> None:
        self._left = 8 * len(data) - skip
        self._value = int.from_bytes(data)

    def read(self, count: int) -> int:
        """The next `count` bits as a number. Raises WireError when there are fewer."""
        self._left -= count
        if self._left < 0:
            raise WireError("dependency descriptor is cut off")
        return self._value >> self._left & (1 << count) - 1

    def read_below(self, limit: int) -> int:
        """A number under `limit` in the specification's ns(n) form: short for small ones, one bit more for the rest."""
        width = limit.bit_length()
        short = (1 << width) - limit
        value = self.read(width - 1)
        return value if value < short else (value << 1 | self.read(1)) - short


def _read_structure(bits: _Bits) -> _Structure:
    """template_dependency_structure() of appendix A.8, to its end, so that one cut off is noticed."""
    template_id_offset = bits.read(6)
    decode_targets = bits.read(5) + 1
    layers = _read_template_layers(bits)
    bits.read(2 * decode_targets * len(layers))  # template_dtis
    for _ in layers:  # template_fdiffs
        while bits.read(1):
            bits.read(4)
    chains = bits.read_below(decode_targets + 1)
    if chains:
        for _ in range(decode_targets):
            bits.read_below(chains)
        bits.read(4 * chains * len(layers))
    if bits.read(1):  # resolutions_present_flag: width and height of each spatial layer
        bits.read(32 * (layers[-1][0] + 1))
    return _Structure(template_id_offset, layers)


def _read_template_layers(bits: _Bits) -> tuple[tuple[int, int], ...]:
    spatial_id = temporal_id = 0
    layers = [(0, 0)]
    while (step := bits.read(2)) != _NO_MORE_LAYERS:
        if step == _NEXT_TEMPORAL:
            temporal_id += 1
        elif step == _NEXT_SPATIAL:
            spatial_id, temporal_id = spatial_id + 1, 0
        if temporal_id > _MAX_TEMPORAL_ID or spatial_id > _MAX_SPATIAL_ID or len(layers) == _MAX_TEMPLATES:
            raise WireError("dependency descriptor's structure has too many layers")
        layers.append((spatial_id, temporal_id))
    return tuple(layers)
