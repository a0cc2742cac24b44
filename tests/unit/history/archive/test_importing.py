"""Imported frames, read back through `capacity.open_history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._api import open_history
from capacity.errors import InputError, NoHistory
from capacity.history._archive.archive import Archive
from capacity.history._archive.importing import Imported, import_frame
from capacity.history._archive.records import SourceRecord
from capacity.model import Signal
from capacity.settings import Settings, override
from tests.fixtures.frames import times_of

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.history import History

START = pd.Timestamp("2026-03-02", tz="UTC")
END = START + pd.Timedelta("2D")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with an archive of their own."""
    return override(Settings(), "archive__path", tmp_path / "archive")


def frame(
    freq: str = "5min", days: int = 2, services: tuple[str, ...] = ("shop/web", "shop/db")
) -> pd.DataFrame:
    """A usage frame."""
    index = pd.date_range(
        START, periods=days * int(pd.Timedelta("1D") / pd.Timedelta(freq)), freq=freq, name="time"
    )
    values = np.random.default_rng(3).integers(1, 10**9, (len(index), len(services))).astype(float)
    return pd.DataFrame(values, index=index, columns=list(services))


def imported(file: Path, settings: Settings, signal: str = "memory", **more: Any) -> Imported:
    """Import into the archive of the settings."""
    return import_frame(file, Archive(settings.archive.path), settings, signal=signal, **more)


def opened(settings: Settings, window: str = "2D", end: pd.Timestamp = END) -> History:
    """The history that was imported."""
    return open_history("import", offline=True, settings=settings, as_of=end, window=window)


def written(file: Path, table: pd.DataFrame) -> Path:
    """The table as CSV or Parquet, by the file's ending."""
    if file.suffix == ".csv":
        table.to_csv(file)
    else:
        table.to_parquet(file)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_frame_on_the_grid_reads_back_unchanged(
    tmp_path: Path, settings: Settings, suffix: str
) -> None:
    """Both formats; days before and after are absent."""
    table = frame()
    done = imported(written(tmp_path / f"usage{suffix}", table), settings)
    assert (done.services, done.days, done.notes) == (2, ["2026-03-02", "2026-03-03"], ())
    history = opened(settings)
    pd.testing.assert_frame_equal(
        history.memory,
        table[["shop/db", "shop/web"]],
        check_freq=False,
        check_names=False,
        check_index_type=False,
        check_column_type=False,
    )
    wider = opened(settings, "4D", END + pd.Timedelta("1D"))
    assert wider.coverage()["coverage"].to_list() == [0.5, 0.5]
    with pytest.raises(NoHistory):
        opened(settings, "2D", END + pd.Timedelta("9D"))


@pytest.mark.parametrize("form", ["iso", "zone", "naive", "seconds", "float seconds"])
def test_times_in_every_spelling_are_utc(tmp_path: Path, settings: Settings, form: str) -> None:
    """ISO with and without a zone and Unix seconds mean the same moment."""
    table = frame()
    index = times_of(table)
    spelled: dict[str, pd.Index] = {
        "iso": index,
        "zone": index.tz_convert("Asia/Karachi"),
        "naive": index.tz_localize(None),
        "seconds": pd.Index(index.as_unit("s").asi8),
        "float seconds": pd.Index(index.as_unit("s").asi8 + 0.0),
    }
    table.index = spelled[form]
    imported(written(tmp_path / "usage.csv", table), settings)
    np.testing.assert_array_equal(opened(settings).memory["shop/web"], frame()["shop/web"])


@given(st.sampled_from(["memory", "cpu", "memory_limit"]), st.integers(0, 2**32))
def test_finer_samples_are_brought_to_the_step(
    tmp_path_factory: pytest.TempPathFactory, signal: str, seed: int
) -> None:
    """The maximum of memory and limits, the mean of CPU, over the step that ends at each grid
    point.
    """
    folder = tmp_path_factory.mktemp("finer")
    settings = override(Settings(), "archive__path", folder)
    random = np.random.default_rng(seed)
    unix = np.sort(random.choice(np.arange(1, 86_400), 300, replace=False))
    table = pd.DataFrame({"shop/web": random.random(300)}, index=int(START.timestamp()) + unix)
    imported(written(folder / "usage.csv", table), settings, signal)
    step = 3600 if signal == "memory_limit" else 300
    groups = table["shop/web"].groupby(-(-unix // step))
    want = groups.mean() if signal == "cpu" else groups.max()
    found: dict[int, float] = {}
    archive = Archive(folder)
    for day in (START, START + pd.Timedelta("1D")):
        stored = archive.read("import", Signal(signal), "import", step, day.date())
        if stored:
            offset = (day - START) // pd.Timedelta(seconds=step)
            found |= {
                offset + slot: value
                for slot, value in enumerate(stored.block.values[0])
                if not np.isnan(value)
            }
    assert found == pytest.approx(want.to_dict())


def test_a_second_import_adds_to_days_that_are_there(tmp_path: Path, settings: Settings) -> None:
    """Other services, other hours of a day and another signal join; what both have is the later
    file's.
    """
    table = frame(days=1)
    imported(written(tmp_path / "a.csv", table.iloc[:200]), settings)
    imported(
        written(tmp_path / "b.csv", table.iloc[100:].assign(**{"shop/new": 5.0}) * 2), settings
    )
    imported(written(tmp_path / "c.csv", table / 1e9), settings, "cpu")
    history = opened(settings)
    expected = pd.concat([table.iloc[:100], table.iloc[100:] * 2])["shop/web"]
    np.testing.assert_array_equal(history.memory["shop/web"].iloc[:288], expected)
    assert history.memory["shop/new"].dropna().unique().tolist() == [10.0]
    assert history.services == ["shop/db", "shop/new", "shop/web"]
    assert len(history.cpu.columns) == 2


def test_what_can_be_mended_is_mended_and_said(tmp_path: Path, settings: Settings) -> None:
    """Unsorted rows, repeated times and infinite values do not stop an import, and none passes in
    silence.
    """
    file = tmp_path / "usage.csv"
    file.write_text(
        "\ufefftime, shop/web\n2026-03-02T00:10:00, "
        "5\n2026-03-02T00:05:00,inf\n2026-03-02T00:10:00,7\n2026-03-02T00:15:00,\n"
    )
    done = imported(file, settings)
    assert len(done.notes) == 3
    assert opened(settings).memory["shop/web"].dropna().to_dict() == {
        START + pd.Timedelta("10min"): 7.0
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no usage frame"),
        ("time\n2026-03-02\n", "no column beside the first"),
        ("time,a\n", "no rows"),
        ("time,a\n2026-03-02,\n", "no sample"),
        ("time,a\n2026-03-02,1\nyesterday,2\n", "is no time"),
        ("time,a\n,1\n2026-03-02,1\n", "empty time"),
        ("row,a\n0,1\n1,2\n", "no Unix time"),
        ("ms,a\n1772409600000,1\n", "no Unix time"),
        (
            "time,a\n2026-03-02,1\n2026-03-03,lots\n",
            "'lots' in the column 'standalone/a' at 2026-03-03 00:00 is no number",
        ),
        ("time,a\n2026-03-02,512m\n", "'512m'"),
        ("time,a\n2026-03-02,True\n", "holds no numbers"),
        (
            "time,a\n2026-03-02,-1\n",
            "-1 in the column 'standalone/a' at 2026-03-02 00:00 is negative",
        ),
        ("time,a, a\n2026-03-02,1,2\n", "two columns for standalone/a"),
        ("a,b\n1,2,3,4\n5\n", ""),
        ("PAR1 and then nothing of the kind", "Parquet"),
        ("\udcff\udcfe", "no usage frame"),
    ],
)
def test_what_is_no_usage_frame_is_refused_on_one_line(
    tmp_path: Path, settings: Settings, text: str, said: str
) -> None:
    """The message names the file, the cell and the cause; nothing is stored."""
    file = tmp_path / "usage.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as caught:
        imported(file, settings)
    assert said in str(caught.value)
    assert "usage.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(settings.archive.path.rglob("*.parquet"))


@pytest.mark.parametrize("name", ["", "../up", ".", "a/b", "x" * 300])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, settings: Settings, name: str) -> None:
    """A source's name is a folder of the archive and must stay inside it."""
    with pytest.raises(InputError, match="name of a source"):
        imported(written(tmp_path / "usage.csv", frame()), settings, name=name)


def test_an_import_does_not_mix_with_a_fetched_source(tmp_path: Path, settings: Settings) -> None:
    """A name that belongs to a server is refused, and so is a signal that is not of services."""
    file = written(tmp_path / "usage.csv", frame())
    Archive(settings.archive.path).record(SourceRecord("taken", "http://x", "prometheus", 15, {}))
    with pytest.raises(InputError, match="already has a source taken"):
        imported(file, settings, name="taken")
    with pytest.raises(InputError, match="host_cpu is not measured per service"):
        imported(file, settings, "host_cpu")


def test_a_missing_file_is_one_line(tmp_path: Path, settings: Settings) -> None:
    """A path that is not there, or a folder."""
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(InputError, match="Cannot read"):
            imported(path, settings)
