"""
Install the servers that the tests talk to: Debian's packages where this is Debian and root, Elasticsearch by Maven.

What cannot be had is named on standard error and is no failure: the tests that need it are skipped by that name. What
is there already costs nothing. Everything else that the tests start comes inside Python wheels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.rig.elasticsearch import installed_servers  # noqa: E402  (the path to it is set just above)

ELASTICSEARCH = "8.19.0"
GROUP = "org.elasticsearch.distribution.integ-test-zip"
STEP_TIMEOUT_S = 900

# Debian package -> what proves that it is there: a program on the path, or a pattern of paths.
DEBIAN = {
    "redis-server": "redis-server",
    "postgresql": "/usr/lib/postgresql/*/bin/postgres",
    "varnish": "varnishd",
    "varnish-modules": "/usr/lib/*/varnish/vmods/libvmod_xkey.so",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "libcurl4": "/usr/lib/*/libcurl.so.4",
    "chromium": "chromium",
}


def say(line: str) -> None:
    """Print one line of progress."""
    print(f"install_servers: {line}", file=sys.stderr, flush=True)


def is_there(proof: str) -> bool:
    """Say whether something matches the pattern, or the program is on the path."""
    if proof.startswith("/"):
        return any(Path("/").glob(proof[1:]))
    return shutil.which(proof, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin") is not None


def run(command: Sequence[str]) -> bool:
    """Run one step without a terminal; say what failed and return False where it does."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{command[0]}: {error}")
        return False
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        say(f"{' '.join(command[:3])} … ended with {done.returncode}: {' | '.join(tail)}")
    return done.returncode == 0


def install_debian() -> None:
    """Install Debian's packages one by one, so that one that is not served does not keep the others out."""
    missing = [package for package, proof in DEBIAN.items() if not is_there(proof)]
    if not missing:
        say("Debian packages: all there")
        return
    if os.geteuid() != 0 or not is_there("apt-get"):
        say(f"not root on Debian; left out: {' '.join(missing)}")
        return
    say(f"apt-get install {' '.join(missing)}")
    options = ["-y", "-q", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
    with_policy = ["env", "RUNLEVEL=1"]  # installs, starts nothing
    run(["apt-get", "update", "-q"])
    if run([*with_policy, "apt-get", "install", *options, *missing]):
        return
    for package in missing:
        run([*with_policy, "apt-get", "install", *options, package])


def install_elasticsearch() -> None:
    """Fetch the distribution through Maven, whose own cache keeps it, and unpack it for the account that runs it."""
    target = installed_servers() / f"elasticsearch-{ELASTICSEARCH}"
    if (target / "bin" / "elasticsearch").exists():
        say(f"Elasticsearch {ELASTICSEARCH}: there")
        return
    if not is_there("mvn") or not is_there("java"):
        say("Elasticsearch: left out, it needs Maven and Java 17")
        return
    say(f"Elasticsearch {ELASTICSEARCH}: fetching through Maven (93 MB)")
    coordinates = f"{GROUP}:elasticsearch:{ELASTICSEARCH}:zip"
    staging = installed_servers() / f"fetch-{os.getpid()}"
    staging.mkdir(parents=True)
    try:
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={staging}"]
        if run(copy):
            unpack(next(staging.glob("*.zip")), staging)
            (staging / target.name).replace(target)
            say(f"Elasticsearch {ELASTICSEARCH}: installed")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack *archive* into *folder*, readable by all, with the programs executable."""
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


if __name__ == "__main__":
    install_debian()
    install_elasticsearch()
