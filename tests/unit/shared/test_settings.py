import pytest

from shared.settings import Addresses, Count, ServiceSettings, SettingsError, describe, read


class Toy(ServiceSettings):
    """Serves toys."""

    service = "toy"

    masters: Addresses = ("127.0.0.1:6100",)
    """Where to register."""
    limit: Count = 5
    """How many toys."""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.delenv("MINDSERVE_CONFIG", raising=False)


def test_defaults_need_nothing():
    assert read(Toy, []).limit == 5


def test_command_line_wins_over_environment_over_file_over_default(tmp_path, monkeypatch):
    config = tmp_path / "mindserve.toml"
    config.write_text("[toy]\nlimit = 6\nlease_seconds = 7\n[other]\nx = 1\n")
    arguments = ["--config", str(config)]
    assert read(Toy, arguments).limit == 6
    monkeypatch.setenv("MINDSERVE_TOY_LIMIT", "8")
    assert read(Toy, arguments).limit == 8
    assert read(Toy, [*arguments, "--limit", "9"]).limit == 9
    assert read(Toy, arguments).lease_seconds == 7


def test_several_addresses_are_separated_by_commas(monkeypatch):
    assert read(Toy, ["--masters", "a:1,b:2"]).masters == ("a:1", "b:2")
    monkeypatch.setenv("MINDSERVE_TOY_MASTERS", "c:3,d:4")
    assert read(Toy, []).masters == ("c:3", "d:4")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--limti", "3"], "unknown option --limti; did you mean --limit"),
        (["--limit", "0"], "limit.*greater than or equal to 1"),
        (["--masters", "nowhere"], "expected HOST:PORT"),
        (["--config", "/does/not/exist"], "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(arguments, reason):
    with pytest.raises(SettingsError, match=reason):
        read(Toy, arguments)


def test_an_unknown_key_in_file_or_environment_is_named(tmp_path, monkeypatch):
    config = tmp_path / "mindserve.toml"
    config.write_text("[toy]\nlimits = 6\n")
    with pytest.raises(SettingsError, match="unknown setting limits; did you mean limit"):
        read(Toy, ["--config", str(config)])
    monkeypatch.setenv("MINDSERVE_TOY_LIMITT", "8")
    with pytest.raises(SettingsError, match="MINDSERVE_TOY_LIMITT; did you mean"):
        read(Toy, [])


def test_help_explains_every_setting(capsys):
    with pytest.raises(SystemExit) as ended:
        read(Toy, ["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "How many toys." in text
    assert "--drain-seconds" in text


def test_settings_are_frozen_and_can_be_described():
    settings = read(Toy, [])
    with pytest.raises(ValueError, match="frozen"):
        settings.limit = 3
    assert describe(settings)["limit"] == 5
