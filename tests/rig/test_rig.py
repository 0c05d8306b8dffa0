"""
The rig keeps its promises: what a run started ends with the run, a restart keeps port and folder, a missing server is a
skip with a name and a reason, and the distributed engines do what chaos tests ask of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig import RedisCluster, RedisSentinel, RedisServer, ValkeyServer, resp, wait_until
from tests.rig.process import SWITCH, accepts

ROOT = Path(__file__).resolve().parent.parent.parent

START_AND_DIE = """
import os, signal
from tests.rig import ValkeyServer
server = ValkeyServer()
server.__enter__()
print(server.port, server.processes[0].pid, server.home, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_alive(pid: int) -> bool:
    """Say whether a process has this id and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_ends_with_a_run_that_was_killed(valkey_server: ValkeyServer) -> None:
    assert valkey_server.cli("PING") == "PONG"  # so that Valkey is known to be there
    done = subprocess.run([sys.executable, "-c", START_AND_DIE], cwd=ROOT, capture_output=True, text=True, check=False)
    port, pid, home = done.stdout.split()
    wait_until(lambda: not is_alive(int(pid)), "the server's end")
    wait_until(lambda: not Path(home).exists(), "the scratch folder's end")
    assert not accepts(int(port))


def test_a_closed_server_leaves_nothing_behind(valkey_server: ValkeyServer) -> None:
    with ValkeyServer() as server:
        pid, home = server.processes[0].pid, server.home
        assert server.port != valkey_server.port
    assert not is_alive(pid)
    assert not home.exists()


def test_a_killed_server_comes_back_with_what_it_had_persisted(redis_server: RedisServer) -> None:
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        server.cli("SET", "kept", "yes")
        server.kill()
        assert not accepts(server.port)
        server.restart()
        assert server.cli("GET", "kept") == "yes"
        assert server.port != redis_server.port


def test_a_paused_server_is_reachable_and_silent(clean_valkey: ValkeyServer) -> None:
    clean_valkey.pause()
    try:
        assert accepts(clean_valkey.port)
        with pytest.raises(TimeoutError):
            resp.call(clean_valkey.port, "PING", timeout_s=0.2)
    finally:
        clean_valkey.resume()
    assert clean_valkey.cli("PING") == "PONG"


def test_a_clean_server_is_empty(clean_redis: RedisServer) -> None:
    assert clean_redis.cli("DBSIZE") == 0
    with pytest.raises(resp.ReplyError, match="unknown command"):
        clean_redis.cli("NOSUCHCOMMAND")


def test_every_database_is_empty_and_its_own(postgres_url: str, mongo_url: str) -> None:
    assert str(os.getpid()) in postgres_url
    assert str(os.getpid()) in mongo_url


@pytest.mark.slow
def test_a_cluster_moves_a_slot_and_replaces_a_killed_master(redis_cluster: RedisCluster) -> None:
    with RedisCluster(node_timeout_ms=500) as cluster:
        assert set(cluster.ports).isdisjoint(redis_cluster.ports)
        source = cluster.owner_of_key("{moved}")
        target = next(node for node in cluster.masters() if node is not source)
        cluster.cli("SET", "{moved}", "value", node=source)
        slot = cluster.cli("CLUSTER", "KEYSLOT", "{moved}")
        assert isinstance(slot, int)
        cluster.migrate_slot(slot, target)
        with pytest.raises(resp.ReplyError, match=f"MOVED {slot} 127.0.0.1:{target.port}"):
            cluster.cli("GET", "{moved}", node=source)
        assert cluster.cli("GET", "{moved}", node=target) == "value"

        cluster.kill_node(target)
        wait_until(lambda: cluster.owner_of_slot(slot) is not target, "the fail-over")
        assert cluster.cli("GET", "{moved}", node=cluster.owner_of_slot(slot)) == "value"
        cluster.restart_node(target)
        wait_until(lambda: not target.is_master, "the old master's return as a replica")
        cluster.wait_ready()


@pytest.mark.slow
def test_sentinels_replace_a_killed_master(redis_sentinel: RedisSentinel) -> None:
    with RedisSentinel(down_after_ms=500) as service:
        assert set(service.ports).isdisjoint(redis_sentinel.ports)
        old = service.master_port()
        service.kill_port(old)
        wait_until(lambda: service.master_port() != old, "the fail-over")
        service.restart_port(old)


ONE_TEST = "def test_that_needs_redis(redis_server: object) -> None: ...\n"


def test_a_missing_server_is_a_skip_with_a_name_and_a_reason(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = ["tests.rig.fixtures", "tests.rig.closing"]\n', encoding="utf-8"
    )
    (tmp_path / "test_one.py").write_text(ONE_TEST, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    env = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT), SWITCH: "on"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped: 1" in done.stdout
    assert "redis_server: redis-server is not installed\n    test_one.py::test_that_needs_redis" in done.stdout
