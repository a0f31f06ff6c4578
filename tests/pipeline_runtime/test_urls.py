"""URLs are shown without credentials, and refused with them."""

import pytest

from pipeline_runtime.urls import (
    CredentialsError,
    check_connection_word,
    check_url,
    check_words,
    safe_url,
    without_credentials,
)


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hunter2@bucket/vseq/",
        "s3://AKIA:hun/hunter2@bucket/vseq/",
        "s3://AKIA:hun?hunter2@bucket/vseq/",
        "https://hunter2@github.com/lsst-ts/x",
        "https://user:hunter2@host/index/",
        "https://user:x/hunter2@host/index/",
        "postgresql://user:hunter2@host/db",
        "https://host/x?X-Amz-Credential=a&X-Amz-Signature=hunter2",
        "https://host/x?v=1&sig=hunter2",
        "https://host/x#access_token=hunter2",
        "https://host/x?AWSAccessKeyId=hunter2",
        "https://host/x?api_key=hunter2",
        "gs://bucket/x?private_token=hunter2",
        "https://conda.anaconda.org/t/hunter2-hunter2-hunter2/site",
    ],
)
def test_credentials_are_refused_with_the_remedy_and_not_shown(url: str) -> None:
    with pytest.raises(CredentialsError, match=r"the store .* holds credentials") as it:
        check_url(url, "the store")

    assert "hunter2" not in str(it.value)
    assert "LSST_RESOURCES_S3_PROFILE_<name>" in str(it.value)
    assert "hunter2" not in safe_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://rubin:rubin-scheduler-prenight/opsim/vseq/",
        "s3://profile@bucket/vseq/",
        "s3://profile@tenant:bucket/vseq/",
        "s3://bucket/a@b/",
        "ssh://git@github.com/lsst-ts/x",
        "git@github.com:lsst-ts/x",
        "https://host:8080/a@b/",
        "https://host/x?commit=1234&keyword=a&monkey=b&design=c",
        "file:///data/user:pass@word/?key=1",
        "/data/user:pass@word/?key=1",
    ],
)
def test_profiles_ports_and_paths_are_no_credentials(url: str) -> None:
    check_url(url, "the store")


@pytest.mark.parametrize(
    "word",
    ["postgresql://u:hunter2@h/db", "u:hunter2@h", "h password=hunter2"],
)
def test_a_host_that_is_a_whole_connection_is_refused_and_not_shown(word: str) -> None:
    with pytest.raises(CredentialsError, match="the host") as it:
        check_connection_word(word, "the host")

    assert "hunter2" not in str(it.value)


@pytest.mark.parametrize("word", ["db.example.org", "h1,h2", "::1", "/run/a=b@c"])
def test_hosts_and_folders_of_sockets_are_taken(word: str) -> None:
    check_connection_word(word, "the host")


@pytest.mark.parametrize(
    "text",
    [
        "see https://user:hunter2@host/x, and https://host/y",
        'list of "s3://AKIA:hunter2@bucket/"',
        '{"a": {"api_key": "hunter2"}}',
    ],
)
def test_a_text_with_a_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(CredentialsError, match=r"the comment: .* holds creden") as it:
        check_words(text, "the comment")

    assert "hunter2" not in str(it.value)


def test_a_text_of_people_may_speak_of_secrets() -> None:
    check_words(
        "password? see https://host/wiki?author=me#token, or mail me@host; "
        '{"password": "", "tokens": 3}',
        "the comment",
    )


def test_what_others_wrote_is_shown_without_credentials() -> None:
    channel = "https://conda.site.org/t/tk-12345678-abcdef-12345678/main/linux-64"
    text = (
        f'[{{"base_url": "{channel}", "name": "a"}}, {{"url": "https://a.org/b?v=1"}}]'
    )

    shown = without_credentials(text)

    assert shown == text.replace("tk-12345678-abcdef-12345678", "...")
