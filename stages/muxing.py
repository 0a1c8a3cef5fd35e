"""Into a container: what is in the source beside the pictures, copied packet by packet, and under a temporary name."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from schemas.errors import UserError

MARKER = "timestamps.csv"
"""The file by which a folder of pictures is known to be ours."""

_MP4_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac"})
_MOV_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac"})
_OF_THE_FILE = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"})
_DETERMINISTIC = {"fflags": "+bitexact"}  # no dates, random ids or versions


def suffix_for(source: av.container.InputContainer, choices: tuple[str, ...]) -> str:
    """The first of `choices` (".mp4", ".mov") that holds every audio stream of the source as it is, else ".mkv".

    Matroska holds anything, but counts in milliseconds.
    """
    codecs = {stream.codec_context.codec.canonical_name for stream in audio_of(source)[0]}
    return next((each for each in choices if all(_holds(each, codec) for codec in codecs)), ".mkv")


def _holds(suffix: str, codec: str) -> bool:
    return codec in _MP4_AUDIO if suffix == ".mp4" else codec in _MOV_AUDIO or codec.startswith("pcm_")


def audio_of(source: av.container.InputContainer) -> tuple[list[av.AudioStream], list[str]]:
    """The audio streams that can be copied, and for each other stream beside the video why it is left out."""
    copied, left_out = [], []
    for stream in source.streams:
        if stream.type == "video":
            continue
        context = stream.codec_context
        if stream.type != "audio":
            left_out.append(f"stream {stream.index}: {stream.type} is not copied")
        elif context is None or not context.sample_rate or not context.layout.nb_channels:
            left_out.append(f"stream {stream.index}: audio that cannot be identified")
        else:
            copied.append(stream)
    return copied, left_out


class AudioCopy:
    """All audio packets of a source, bit for bit and with their times, written as the pictures beside them come."""

    def __init__(self, source: av.container.InputContainer, target: av.container.OutputContainer) -> None:
        streams, self.left_out = audio_of(source)
        self._stream_of = {}
        for stream in streams:
            try:
                copy = target.add_stream_from_template(stream)
            except ValueError as error:  # the codec has no place in this container
                self.left_out.append(f"stream {stream.index}: {error}")
                continue
            copy.metadata.update(described(stream.metadata))
            copy.disposition = stream.disposition
            self._stream_of[stream.index] = copy
        self._target, self._last_dts = target, dict.fromkeys(self._stream_of, -(2**62))
        kept = [stream for stream in streams if stream.index in self._stream_of]
        self._packets = (packet for packet in source.demux(kept) if packet.size) if kept else iter(())
        self._next = next(self._packets, None)

    @property
    def num_streams(self) -> int:
        return len(self._stream_of)

    def write_until(self, seconds: float) -> None:
        """Writes the packets that belong before `seconds`."""
        while self._next is not None and _seconds_of(self._next) <= seconds:
            packet, index = self._next, self._next.stream_index
            if packet.dts is None or packet.dts <= self._last_dts[index]:  # no container takes times that run back
                packet.dts = max(self._last_dts[index] + 1, packet.pts if packet.pts is not None else 0)
                packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
            self._last_dts[index] = packet.dts
            packet.stream = self._stream_of[index]
            self._target.mux(packet)
            self._next = next(self._packets, None)


def _seconds_of(packet: av.Packet) -> float:
    time = packet.dts if packet.dts is not None else packet.pts
    return float("-inf") if time is None else float(time * (packet.time_base or Fraction(1)))


def described(metadata: dict[str, str]) -> dict[str, str]:
    """What metadata says of the footage; what it says of the file it came in is left out."""
    return {name: text for name, text in metadata.items() if name.lower() not in _OF_THE_FILE}


@contextmanager
def writing(path: Path, container: str) -> Iterator[av.container.OutputContainer]:
    """An open container that appears under `path` only when whole; nothing is left behind by a failure."""
    part = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(part), "w", format=container, container_options=_DETERMINISTIC) as target:
            yield target
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """A new folder that appears as `folder` only when whole. Raises UserError when something else is there."""
    if folder.exists() and not (folder / MARKER).is_file():
        raise UserError(f"{folder} exists and is not a folder of pictures that Recast wrote")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
