"""A trial with what was read beside it, and the flags that follow from that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlbench.core import telemetry, tracks
from dlbench.core.types import Trial
from dlbench.telemetry.sampler import Recording


def observed(trial: Trial, recording: Recording) -> Trial:
    """The trial with the sampler's tracks and flags; its outcome is left as it was."""
    facts = dict(trial.subject)
    if recording.lost is not None:
        facts["sampler"] = recording.lost
    whole = replace(trial, tracks=recording.tracks, subject=facts)
    flags = [*trial.flags, *_flags(whole, recording)]
    return replace(whole, flags=tuple(dict.fromkeys(flags)))


def _flags(trial: Trial, recording: Recording) -> Iterator[str]:
    if recording.lost is not None or tracks.lost(recording.tracks) is not None:
        yield "telemetry_lost"
    yield from telemetry.flags(trial)
