"""Every command answers: exit codes, one line on failure, JSON that parses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.commands import capacity_here
from tests.fixtures.paths import ROOT


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nonsense",), 2, "No such command"),
        (("report", "weekly", "--sampl"), 2, "No such option"),
        (("report", "weekly", "--sample", "--offline"), 2, "--sample goes alone"),
        (("recommend", "--sample", "--signal", "disk"), 2, "neither cpu nor memory"),
        (("recommend", "--sample", "--as-of", "yesterday"), 2, "is no time"),
        (("recommend", "--sample", "--as-of", "2020-01-01"), 1, "covers 2026-10-19"),
        (("forecast", "--sample", "--horizon", "soon"), 2, "no length of time"),
        (("forecast", "--sample", "--horizon", "-7D"), 2, "no length of time above zero"),
        (("recommend", "--sample", "--services", "none/*"), 2, "No service matches 'none/*'"),
        (("pool", "size", "none/*", "--sample"), 2, "No service matches 'none/*'"),
        (
            ("report", "weekly", "--sample", "--services", "none/*"),
            2,
            "No service matches 'none/*'",
        ),
        (
            ("recommend", "shop/search", "--sample", "--services", "ai/*"),
            2,
            "--services 'ai/*' leaves 'shop/search' out",
        ),
        (
            ("recommend", "--sample", "--format", "csv", "--json"),
            2,
            "--json and --format csv want different things",
        ),
        (
            ("recommend", "--sample", "--format", "table", "--json"),
            2,
            "--json and --format table want different things",
        ),
        (
            ("recommend", "shop/search", "--sample", "--why", "--format", "csv"),
            2,
            "--why cannot be printed as csv",
        ),
        (
            ("recommend", "shop/search", "--sample", "--why", "--budget", "1g"),
            2,
            "The budget of 1 GiB cannot be kept",
        ),
        (
            ("recommend", "shop/search", "--sample", "--why", "--horizon", "abc"),
            2,
            "'abc' is no length of time",
        ),
        (
            ("recommend", "shop/search", "--sample", "--why", "--policy", "best"),
            2,
            "There is no policy 'best'",
        ),
        (
            ("recommend", "--sample", "--policy", "krr", "--budget", "1g"),
            2,
            "A budget of 1g needs the policy capacity, not krr",
        ),
        (("recommend", "--sample", "--budget", "0"), 2, "A budget of 0 allows no limit"),
        (
            ("recommend", "--sample", "--budget", "16g"),
            2,
            "the rules demand 53.1 GiB at least, 37.1 GiB too much. Most take data/warehouse 8 GiB",
        ),
        (("recommend", "--sample", "--against", "missing.csv"), 2, "Cannot read missing.csv"),
        (
            ("recommend", "--sample", "--against", "missing.csv", "--format", "csv"),
            2,
            "--against cannot be printed as csv",
        ),
        (
            ("recommend", "shop/search", "--sample", "--why", "--against", "a.csv"),
            2,
            "--why and --against want different things",
        ),
        (("affinity", "--seconds", "inf"), 2, "--seconds"),
        (("affinity", "--seconds", "nan"), 2, "--seconds"),
        (("pool", "scale", "work", "2", "--timeout", "inf"), 2, "inf is no number to count to"),
        (("pool", "scale", "work", "2", "--timeout", "nan"), 2, "--timeout"),
        (("recommend",), 2, "No metrics server is named"),
        (("recommend", "--offline"), 2, "capacity fetch"),
        (("recommend", "--source", "ftp://host"), 2, "is no address"),
        (
            ("recommend", "--source", "http://127.0.0.1:9", "--as-of", "2100-01-01"),
            2,
            "in the future",
        ),
        (("recommend", "--source", "http://127.0.0.1:9"), 1, "Connection refused"),
        (("recommend", "--sample", "--config", "missing.toml"), 2, "Cannot read missing.toml"),
        (("fetch", "--import", "missing.csv"), 2, "missing.csv"),
        (("fetch", "--import", "missing.csv", "--signal", "disk"), 2, "no signal"),
    ],
)
def test_failures_are_one_line_with_the_next_step(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    """Exit 2 for what was asked wrongly, 1 for work that failed; never a traceback."""
    done = capacity_here(*arguments, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "command", [("recommend",), ("recommend", "--signal", "cpu"), ("forecast",)]
)
def test_tables_also_come_as_json(command: tuple[str, ...], tmp_path: Path) -> None:
    """`--json` prints one object a service with raw numbers, and nothing else."""
    done = capacity_here(*command, "--sample", "--json", "--services", "shop/*", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {"shop/catalog", "shop/search"} <= {row["service"] for row in rows}


@pytest.fixture(scope="module")
def recommended(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `recommend` prints of the sample as JSON."""
    folder = tmp_path_factory.mktemp("recommended")
    return capacity_here("recommend", "--sample", "--json", folder=folder).stdout


def test_recommend_prints_reasons_for_everyone(recommended: str) -> None:
    """Every service has an action and a typed reason, also where nothing is proposed."""
    rows = json.loads(recommended)
    reasons = {row["service"]: (row["action"], row["reason"]) for row in rows}
    assert len(reasons) == 45
    assert reasons["ai/ollama"] == ("set", "unlimited")
    assert reasons["shop/thumbnailer"] == ("raise", "oom-killed")
    assert reasons["shop/ab-testing"] == ("set", "type-default")
    assert reasons["data/exporter-old"] == ("none", "stopped")
    assert reasons["data/warehouse"] == ("lower", "oversized")


def test_sample_lists_services_and_makes_itself_again(tmp_path: Path) -> None:
    """45 services, and files equal to the bundled ones."""
    assert (
        len(json.loads(capacity_here("sample", "services", "--json", folder=tmp_path).stdout)) == 45
    )
    assert capacity_here("sample", "make", "made", folder=tmp_path).returncode == 0
    bundled = ROOT / "data" / "sample"
    made = {
        path.relative_to(tmp_path / "made"): path.read_bytes()
        for path in (tmp_path / "made").rglob("*")
        if path.is_file()
    }
    kept = {
        path.relative_to(bundled): path.read_bytes()
        for path in bundled.rglob("*")
        if path.is_file()
    }
    assert made == kept
    assert sum(len(content) for content in kept.values()) < 6e6


def test_a_trained_model_predicts_without_history(tmp_path: Path) -> None:
    """`--train` keeps a model, `--from` gives the same numbers from it alone, and refuses what is
    no model.
    """
    trained = capacity_here("forecast", "--sample", "--json", "--train", "models", folder=tmp_path)
    again = capacity_here("forecast", "--from", "models", "--json", folder=tmp_path)
    assert trained.returncode == again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(trained.stdout)
    for arguments in (
        ("--from", "nowhere"),
        ("--from", "models", "--signal", "cpu"),
        ("--from", "models", "--sample"),
    ):
        refused = capacity_here("forecast", *arguments, folder=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
    (tmp_path / "models" / "memory" / "model.npz").write_bytes(b"not arrays")
    assert capacity_here("forecast", "--from", "models", folder=tmp_path).returncode == 2


def test_doctor_without_a_server_says_what_to_do(tmp_path: Path) -> None:
    """Nothing set is a warning; a server that does not answer is a failure."""
    done = capacity_here("doctor", "--json", folder=tmp_path)
    assert done.returncode == 0
    found = {check["check"]: check["status"] for check in json.loads(done.stdout)}
    assert {name: found[name] for name in ("archive", "server")} == {
        "archive": "ok",
        "server": "warn",
    }
    done = capacity_here("doctor", "--source", "http://127.0.0.1:9", "--json", folder=tmp_path)
    assert done.returncode == 1
    assert "Connection refused" in done.stdout


def test_help_waits_for_no_heavy_library() -> None:
    """Importing the command line loads neither pandas nor numpy nor the settings."""
    code = (
        "import sys, capacity._cli; print([name for name in ('pandas', 'numpy', 'pydantic', "
        "'matplotlib') if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_what_acts_on_containers_waits_for_no_pandas() -> None:
    """Plans, emergencies, pools and restart loops begin at once: they compute nothing."""
    code = (
        "import sys, capacity.changes, capacity.operations._emergency.release, "
        "capacity.operations._pools.commands, capacity.operations._restarts.loops, "
        "capacity.compliance; print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`capacity ... | head -1` ends quietly."""
    command = f"{sys.executable} -m capacity sample services | head -1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_an_interrupt_that_compiled_code_swallows_is_given_again() -> None:
    """Ctrl-C may fall into a callback of a library, where Python ignores it with a traceback; it
    ends the command still.
    """
    code = """
import sys, time
from capacity.__main__ import give_again
sys.unraisablehook = give_again
class Swallows:
    def __del__(self):
        raise KeyboardInterrupt
try:
    Swallows()
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=15
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_an_interrupt_that_became_another_error_is_one_still() -> None:
    """Python 3.11 makes a `RuntimeError` of a Ctrl-C that comes while a class is made, as in the
    import of a large library.
    """
    code = """
import sys
from capacity import history
from capacity.__main__ import main
class Late:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt
def archive_status(path, source):
    class Made:
        field = Late()
history.archive_status = archive_status
sys.argv = ["capacity", "archive", "status"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("capacity: interrupted")
    assert done.stderr.count("\n") == 1


def test_a_run_is_compared_with_an_earlier_one(recommended: str, tmp_path: Path) -> None:
    """`--against` prints nothing for the same run, and each other limit for another; a budget that
    gives less than what was seen is told.
    """
    last = tmp_path / "last.json"
    last.write_text(recommended)
    again = capacity_here("recommend", "--sample", "--against", str(last), folder=tmp_path)
    assert again.stdout == f"Differences for memory from {last}: nothing\n"
    small = capacity_here(
        "recommend",
        "--sample",
        "--against",
        str(last),
        "--budget",
        "54g",
        "--json",
        folder=tmp_path,
    )
    rows = json.loads(small.stdout)
    assert sum(row["is"] < row["was"] for row in rows if None not in {row["is"], row["was"]}) > 20
    assert "the budget is 54 GiB; 2 services get less" in small.stderr
    gone = capacity_here(
        "recommend",
        "--sample",
        "--against",
        str(last),
        "--services",
        "shop/*",
        "--json",
        folder=tmp_path,
    )
    assert {
        row["is"]
        for row in json.loads(gone.stdout, parse_constant=pytest.fail)
        if row["action"] == "gone"
    } == {None}


def test_a_plan_comes_from_recommend(tmp_path: Path) -> None:
    """`--out` writes the proposals of the table as a plan; with --why it is refused."""
    done = capacity_here("recommend", "--sample", "--out", "plan.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "capacity apply plan.yaml" in done.stderr
    assert capacity_here("plan", "validate", "plan.yaml", folder=tmp_path).returncode in {0, 1}
    refused = capacity_here(
        "recommend", "shop/redis", "--why", "--sample", "--out", "other.yaml", folder=tmp_path
    )
    assert refused.returncode == 2
    assert not (tmp_path / "other.yaml").exists()


@pytest.mark.parametrize("command", [(), ("recommend",), ("plan",), ("plan", "emit")])
def test_help_has_a_short_name(tmp_path: Path, command: tuple[str, ...]) -> None:
    """-h is --help, for every command."""
    short, long = (capacity_here(*command, flag, folder=tmp_path) for flag in ("-h", "--help"))
    assert short.returncode == 0
    assert short.stdout == long.stdout


def test_an_address_needs_no_scheme(tmp_path: Path) -> None:
    """A host and its port are an address, on the command line and in the settings."""
    done = capacity_here("doctor", "--source", "127.0.0.1:1", folder=tmp_path)
    assert "http://127.0.0.1:1" in done.stdout
    (tmp_path / "capacity.toml").write_text('[prometheus]\nurl = "127.0.0.1:1"\n')
    assert "http://127.0.0.1:1" in capacity_here("doctor", folder=tmp_path).stdout


def test_restarts_of_the_sample_need_no_engine(tmp_path: Path) -> None:
    """What the metrics tell, with exit code 1 where something loops."""
    done = capacity_here("restarts", "--sample", "--json", folder=tmp_path)
    assert done.returncode == 1
    assert [row["service"] for row in json.loads(done.stdout)] == ["platform/webhook-relay"]


@pytest.mark.parametrize("command", ["forecast", "recommend"])
def test_a_horizon_beyond_the_history_is_said(tmp_path: Path, command: str) -> None:
    """On standard error; a week ahead of four is none."""
    far = capacity_here(command, "--sample", "--horizon", "60D", "--json", folder=tmp_path)
    near = capacity_here(command, "--sample", "--json", folder=tmp_path)
    assert far.returncode == near.returncode == 0
    assert "further than the 28 days of history" in far.stderr
    assert near.stderr == ""


def test_a_forecast_of_a_single_service(tmp_path: Path) -> None:
    """Only its row, in a table without quantiles that no history can show; a wrong name is met with
    those like it.
    """
    done = capacity_here("forecast", "shop/cart", "--sample", folder=tmp_path)
    assert "shop/cart" in done.stdout
    assert "shop/catalog" not in done.stdout
    assert "p99 " in done.stdout
    assert "p99.9" not in done.stdout
    done = capacity_here("forecast", "shop/cart", "--sample", "--json", folder=tmp_path)
    (row,) = json.loads(done.stdout)
    assert "p99.9" in row
    done = capacity_here("forecast", "shop/crt", "--sample", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean shop/cart" in done.stderr


def test_doctor_does_not_advise_itself(tmp_path: Path) -> None:
    """Its advice is another step."""
    done = capacity_here("doctor", "--source", "http://127.0.0.1:9", folder=tmp_path)
    assert "is the address right?" in " ".join(done.stdout.split())
    assert "`capacity doctor`" not in done.stdout


def test_the_journal_of_nobody_says_so(tmp_path: Path) -> None:
    """An empty answer and a misspelt name are told apart."""
    done = capacity_here("journal", "--service", "nope", "--json", folder=tmp_path)
    assert json.loads(done.stdout) == []
    assert "nothing was done to nope" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "none.yaml"),
        ("check", "--rules", "none.md"),
        ("check", "here.yaml", "--waivers", "none.yaml"),
        ("check", "--snapshot", "none.json"),
        ("plan", "show", "none.yaml"),
    ],
)
def test_what_is_not_there_is_said_without_numbers(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """Of a system's error only its words are shown, and the file once."""
    (tmp_path / "here.yaml").write_text("services: {}\n")
    done = capacity_here(*arguments, folder=tmp_path)
    assert "no such file" in done.stderr.lower()
    assert "Errno" not in done.stderr
