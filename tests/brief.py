"""``dlbench`` whose profile ``quick`` has trials as brief as can be: for tests of what follows.

    python -m tests.brief run fake ...
    python -m tests.brief run fake --profile once ...

As many trials, values and energy windows as ``quick`` has, but no least time of warm-up and values; the
search for a batch size has none either. ``once`` has one such trial of each case, and ``round`` one
that is as long as those of the real ``quick``.
"""

from __future__ import annotations

from dataclasses import replace

from dlbench import plan
from dlbench.__main__ import main
from dlbench.core.types import Profile
from dlbench.session import batch_search


def _brief(profile: Profile) -> Profile:
    return replace(profile, min_warm_up_s=0.0, min_steady_s=0.0)


if __name__ == "__main__":
    quick = plan.PROFILES["quick"]
    plan.PROFILES |= {
        "quick": _brief(quick),
        "once": replace(_brief(quick), name="once", looks=(1,)),
        "round": replace(quick, name="round", looks=(1,)),
    }
    batch_search.PROFILE = _brief(batch_search.PROFILE)
    main()
