"""``prenight alarm --test`` reaches each channel, and shows nothing secret."""

import pytest
from click.testing import CliRunner
from web_hook import web_hook

from archive_assets.cli.prenight import main


def test_a_message_reaches_the_channel() -> None:
    with web_hook() as hook:
        done = CliRunner().invoke(
            main, ["alarm", "--test"], env={"ALARM_URLS": hook.url}
        )

    assert (done.exit_code, done.output) == (0, "channel 1 (JSON): sent\n")
    ((title, body),) = hook.messages
    assert title == "prenight: a test of the alarm"
    assert "prenight alarm --test" in body


def test_a_channel_that_fails_is_named_without_its_secret() -> None:
    with web_hook() as hook:
        hook.is_well = False
        urls = f"{hook.url.replace('json://', 'json://me:secret@')} {hook.url}"
        done = CliRunner().invoke(main, ["alarm", "--test"], env={"ALARM_URLS": urls})

    assert done.exit_code == 1
    assert "channel 1 (JSON): FAILED" in done.output
    assert "Error: 2 of 2 channels did not accept the message" in done.output
    assert "secret" not in done.output


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ("", "ALARM_URLS is not set"),
        ("nonsense", "a URL such as slack://"),
        ("json://127.0.0.1/a teapot://secret", "URL 2 of ALARM_URLS (scheme teapot)"),
    ],
    ids=["not set", "not a URL", "unknown scheme"],
)
def test_wrong_channels_are_refused_with_what_to_do(urls: str, said: str) -> None:
    done = CliRunner().invoke(main, ["alarm", "--test"], env={"ALARM_URLS": urls})

    assert done.exit_code == 1
    assert said in done.output
    assert "secret" not in done.output
