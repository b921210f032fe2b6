"""Numbers as people read them."""

from __future__ import annotations

import pytest

from kas.reporting import wording


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (wording.accuracy(0.91349), "91.3 %"),
        (wording.accuracy(31.52, share=False), "31.52"),
        (wording.accuracy(None), "–"),
        (wording.difference(-0.0123), "−1.2 points"),
        (wording.difference(0.5, share=False), "+0.5"),
        (wording.milliseconds(0.01234), "0.0123 ms"),
        (wording.milliseconds(31.0), "31.0 ms"),
        (wording.milliseconds(1234.5), "1234 ms"),
        (wording.milliseconds(99.96), "100 ms"),
        (wording.count(0), "0"),
        (wording.count(999), "999"),
        (wording.count(999_600), "1.00 M"),
        (wording.count(1_327_104), "1.33 M"),
        (wording.count(141_557_760), "142 M"),
        (wording.count(2.5e12), "2.50 T"),
        (wording.speedup(1.416), "1.42×"),
        (wording.spread((1.2, 1.31)), "1.20 to 1.31"),
        (wording.spread(None), ""),
        (wording.duration(4.04), "4.0 s"),
        (wording.duration(59.4), "59 s"),
        (wording.duration(780), "13 min"),
        (wording.duration(7200), "2.0 h"),
        (wording.plain(0.123456), "0.1235"),
        (wording.plain("relu"), "relu"),
        (wording.plain(None), "–"),
    ],
)
def test_wording(made: str, expected: str) -> None:
    assert made == expected
