"""The private server starts once, keeps its data, and stops when told."""

from pathlib import Path

import pytest
import redis

from queue_worker.door import embedded
from schemas.errors import QueueUnreachable


def test_second_caller_finds_the_server_that_the_first_started(tmp_path: Path) -> None:
    first = embedded.ensure(tmp_path)
    second = embedded.ensure(tmp_path)
    assert first.started and not second.started
    assert first.pid == second.pid
    assert embedded.stop(tmp_path)
    assert not embedded.stop(tmp_path)


def test_data_survive_a_stop_and_a_start(tmp_path: Path) -> None:
    with redis.Redis.from_url(embedded.ensure(tmp_path).url) as client:
        client.set("kept", "yes")
    embedded.stop(tmp_path)
    with redis.Redis.from_url(embedded.ensure(tmp_path).url) as client:
        assert client.get("kept") == b"yes"
    embedded.stop(tmp_path)


def test_data_of_another_server_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "server-version").write_text("redis 7\n")
    with pytest.raises(QueueUnreachable, match="written by redis 7"):
        embedded.ensure(tmp_path)
    assert (tmp_path / "server-version").read_text() == "redis 7\n"


def test_a_data_folder_with_a_long_name_still_gets_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    server = embedded.ensure(deep)
    assert len(str(embedded.socket_path(deep))) <= embedded.SOCKET_NAME_LIMIT
    assert server.started
    embedded.stop(deep)


def test_a_place_that_cannot_be_written_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueUnreachable, match="has no place: not a directory") as refused:
        embedded.ensure(tmp_path / "file" / "redis")
    assert "REDIS_URL=" in refused.value.fix and "TRAINQ_STATE=" in refused.value.fix
