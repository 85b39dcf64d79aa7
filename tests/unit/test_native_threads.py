"""`engines.native_threads`: the cores that a process may use, by its affinity mask and its control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.engines.native_threads import cpu_quota, usable_cores

if TYPE_CHECKING:
    from pathlib import Path


def machine(root: Path, of_process: str, files: dict[str, str]) -> Path:
    """A root folder in which a process is in these groups, and their files say this."""
    found = {"proc/self/cgroup": of_process} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in found.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def version_1(group: str, quota: int) -> dict[str, str]:
    return {f"{group}/cpu.cfs_quota_us": f"{quota}\n", f"{group}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("of_process", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3.0),
        ("0::/a/b\n", {"a/cpu.max": "800000 100000", "a/b/cpu.max": "500000 100000"}, 5.0),
        ("0::/../../kubepods/a\n", {"cpu.max": "400000 100000"}, 4.0),
        ("3:cpu,cpuacct:/docker/x\n4:memory:/y\n", version_1("cpu,cpuacct", 250_000), 2.5),
        ("1:cpu:/\n0::/\n", version_1("cpu", 200_000), 2.0),
        ("1:cpu:/a\n", version_1("cpu/a", 100_000), 1.0),
        ("1:cpu:/\n", version_1("cpu", -1), None),
        ("4:memory:/a\n", {"a/cpu.max": "100000 100000"}, None),
        ("", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_the_quota_is_the_least_of_the_groups_that_a_process_is_in(
    tmp_path: Path, of_process: str, files: dict[str, str], expected: float | None
) -> None:
    assert cpu_quota(machine(tmp_path, of_process, files)) == expected


def test_a_containers_quota_counts_as_the_mask_does(tmp_path: Path) -> None:
    """A container of two cores on a machine of 64 had 64 workers, with the memory of 64."""
    all_of_them = usable_cores(tmp_path)
    assert all_of_them >= 1
    for quota, expected in ((1, 1), (100_000, 1), (10_000_000_000, all_of_them)):
        assert usable_cores(machine(tmp_path, "0::/", {"cpu.max": f"{quota} 100000"})) == expected


@given(text=st.text(st.sampled_from("0123456789 max-\n"), max_size=12))
def test_whatever_stands_there_it_is_a_number_of_cores(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = machine(tmp_path_factory.mktemp("root"), "0::/", {"cpu.max": text})
    assert 1 <= usable_cores(root) <= usable_cores(root / "nothing")
