"""Builds the image for real and uses it as a cluster would: another user, read-only root, no way out to a network.

`make image-test` runs it. It needs root, buildah and debootstrap, but no daemon and no registry: the base image is
a minimal Debian tree, and pip's settings of this machine are lent to the build only.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = "localhost/glossd-test-base"
IMAGE = "localhost/glossd-test"
USER = "10001:10001"
START_SECONDS = 180
STOP_SECONDS = 60

ARTICLE = """Harbour town opens a night school for boat builders

The town of Eastmere opened a night school for boat builders on Monday. Forty people signed up on the first day.

Teachers from three local yards will give lessons twice a week. The town pays for tools and timber.

"We were losing a craft," said the head of the school, Anna Reed. She hopes to launch a first boat in spring.
"""

# Reads an article, prints the kind of the first piece of its digest, then that of the last.
STREAM = """
import sys, glossd
with glossd.Client("127.0.0.1:50051") as client:
    pieces = client.stream_digest(sys.stdin.read(), to="zh")
    print(type(next(pieces)).__name__, flush=True)
    print(type(list(pieces)[-1]).__name__, flush=True)
"""


# Prints the names of the packages that are installed.
INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps(sorted({distribution.metadata["Name"].lower() for distribution in distributions()})))
"""


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """The standard output of a command; what it says on standard error passes through."""
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def say(text: str) -> None:
    """One line of progress."""
    print(f"image-test: {text}", flush=True)


def expect(holds: bool, what: str) -> None:
    """Report one finding and stop when it does not hold."""
    if not holds:
        raise SystemExit(f"image-test: FAILED: {what}")
    say(f"ok: {what}")


# --- building ---------------------------------------------------------------------------------------------------


def make_base(scratch: Path, suite: str) -> None:
    """A base image with Debian's own Python, unless an earlier run left one."""
    if subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode:
        say(f"making a base image of Debian {suite}")
        tree = scratch / "base"
        packages = "python3,python3-venv,ca-certificates"
        run("debootstrap", "--variant=minbase", f"--include={packages}", suite, str(tree))
        run("chroot", str(tree), "apt-get", "clean")
        container = run("buildah", "from", "scratch").strip()
        mounted = run("buildah", "mount", container).strip()
        run("cp", "-a", f"{tree}/.", mounted)
        run("buildah", "umount", container)
        run("buildah", "commit", "-q", "--rm", container, BASE)
        shutil.rmtree(tree)


def lend_pip_settings(scratch: Path) -> list[str]:
    """Options of the build that lend it pip's settings of this machine, and the local paths that they name."""
    settings = {}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    if not settings:
        return []
    file = scratch / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    paths = {Path(word.removeprefix("file://")) for value in settings.values() for word in value.split()}
    local = sorted({shared_folder(path) for path in paths if path.is_absolute() and path.exists()})
    return [f"--secret=id=pip,src={file}", *(f"--volume={path}:{path}:ro" for path in local)]


def shared_folder(path: Path) -> Path:
    """What has to be mounted for a path: an index lists its files beside itself, so its parent."""
    return path.parent if path.name == "simple" else path


def build(scratch: Path, nice: int, extras: str) -> None:
    """Build the image from the working tree."""
    started = time.monotonic()
    revision = run("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD", check=False).strip()
    command = ["nice", f"-n{nice}", "buildah", "bud", "--isolation=chroot", "--format=docker", "--layers"]
    arguments = {"BASE_IMAGE": BASE, "REVISION": revision, "VERSION": version(), "CREATED": "1970-01-01T00:00:00Z"}
    arguments["EXTRAS"] = extras
    command += [*(f"--build-arg={name}={value}" for name, value in arguments.items()), *lend_pip_settings(scratch)]
    subprocess.run([*command, "-t", IMAGE, str(ROOT)], check=True)
    size = run("buildah", "images", "--format", "{{.Size}}", IMAGE).strip()
    say(f"built in {time.monotonic() - started:.0f} s, {size} with its base")


def version() -> str:
    """The version of the working tree."""
    for line in (ROOT / "service" / "glossd" / "__init__.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return str(ast.literal_eval(line.partition("=")[2].strip()))
    raise SystemExit("image-test: the package has no version")


# --- running ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Image:
    """What the image says of how it wants to be run, and where its files are mounted."""

    root: str
    environment: tuple[str, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    health: tuple[str, ...]
    user: str
    stop_signal: str
    volumes: tuple[str, ...]
    labels: dict[str, str]

    def inside(self, *command: str) -> list[str]:
        """A command in the image's files, as its user and with its environment, unable to gain rights."""
        chroot = ["chroot", f"--userspec={self.user}", self.root]
        return ["setpriv", "--no-new-privs", *chroot, "/usr/bin/env", "-i", *self.environment, *command]


def inspect(image: str, root: str) -> Image:
    """Read the image's configuration."""
    config = json.loads(run("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
    return Image(
        root=root,
        environment=tuple(config["Env"]),
        entrypoint=tuple(config["Entrypoint"]),
        command=tuple(config["Cmd"]),
        health=tuple(config["Healthcheck"]["Test"]),
        user=config["User"],
        stop_signal=config["StopSignal"],
        volumes=tuple(config["Volumes"]),
        labels=config["Labels"],
    )


class Server:
    """The image's own command as process 1 of new namespaces: read-only root, empty /tmp, only a loopback network."""

    def __init__(self, image: Image, model: Path | None) -> None:
        """Start it, with a checkpoint's directory as /models/own if one is given."""
        root = shlex.quote(image.root)
        lend = f"mount -t tmpfs tmpfs {root}/models; mkdir {root}/models/own; mount --bind {model} {root}/models/own"
        serve = [*image.entrypoint, *image.command, *(["--model", "/models/own"] if model else [])]
        setup = [
            f"mount --bind {root} {root}",
            f"mount -o remount,ro,bind {root}",
            f"mount -t proc proc {root}/proc",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
            f"mount --rbind /dev {root}/dev",
            "ip link set lo up",
            lend if model else ":",
            "exec " + shlex.join(image.inside(*serve)),
        ]
        namespaces = ["unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
        self.image = image
        self.process = subprocess.Popen([*namespaces, "sh", "-ec", "\n".join(setup)])

    def first_process(self) -> int:
        """The server's id as this machine sees it."""
        parent = self.process.pid
        return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])

    def beside(self, *command: str) -> list[str]:
        """A command in the server's namespaces."""
        enter = ["nsenter", f"--target={self.first_process()}", "--mount", "--net", "--pid", "--"]
        return [*enter, *self.image.inside(*command)]

    def enter(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command beside the server."""
        return subprocess.run(self.beside(*command), input=stdin, capture_output=True, text=True, check=False)

    def wait_until_healthy(self) -> float:
        """Run the image's health check until it passes; the seconds that took."""
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            if self.process.poll() is not None:
                raise SystemExit(f"image-test: the server ended with {self.process.returncode}")
            try:
                check = self.enter(*self.image.health[1:])
            except (IndexError, FileNotFoundError):  # not forked yet
                continue
            if check.returncode == 0:
                return time.monotonic() - started
            time.sleep(0.5)
        raise SystemExit(f"image-test: not healthy after {START_SECONDS} s: {check.stdout}{check.stderr}")

    def stop(self) -> None:
        """Send the image's stop signal."""
        os.kill(self.first_process(), signal.Signals[self.image.stop_signal])


def stop_in_mid_answer(server: Server) -> None:
    """Send the stop signal after the first piece of a streamed digest; the rest has to come all the same."""
    article = "\n\n".join(
        f"In year {year} the yard built {year % 97} boats and sold them all." for year in range(1800, 1840)
    )
    command = server.beside("python", "-c", STREAM)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdin is not None
        assert caller.stdout is not None
        caller.stdin.write(article)
        caller.stdin.close()
        first = caller.stdout.readline().strip()
        server.stop()
        expect(caller.stdout.read().strip() == "DigestResult", f"told to stop after {first}, it still answers in full")


def has_chinese(text: str) -> bool:
    """Whether a CJK ideograph is in the text."""
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def look_at(image: Image) -> None:
    """What the image says of itself, and whether its bill of materials is that of what is in it."""
    expect(image.user == USER, f"the image runs as {USER}")
    expect(image.health[0] == "CMD" and image.entrypoint == ("glossd",), "neither start nor health check need a shell")
    expect(image.volumes == ("/models",), "models are a volume")
    standard = ("title", "description", "licenses", "version", "revision", "created", "base.name")
    missing = [name for name in standard if not image.labels.get(f"org.opencontainers.image.{name}")]
    expect(not missing, "it has the standard labels" + (f", not {', '.join(missing)}" if missing else ""))
    said = run(*image.inside("glossd", "--version"))
    expect(image.labels["org.opencontainers.image.version"] in said, f"it is {said.strip()}")
    bill = json.loads(Path(image.root + image.labels["glossd.sbom"]).read_text(encoding="utf-8"))
    listed = {component["name"].lower() for component in bill["components"]}
    installed = set(json.loads(run(*image.inside("python", "-c", INSTALLED))))
    expect(bill["bomFormat"] == "CycloneDX", f"its bill of materials is CycloneDX {bill['specVersion']}")
    expect(installed - listed - {"glossd"} == set(), f"the bill lists all {len(installed)} packages")
    expect(not {"pip", "hatchling", "cyclonedx-bom"} & installed, "no build tool is left in it")


def try_out(image: Image, model: Path | None) -> None:
    """Start, check, digest, stop."""
    say(f"starting {shlex.join([*image.entrypoint, *image.command])}, read-only and without a network")
    server = Server(image, model)
    try:
        say(f"ok: healthy after {server.wait_until_healthy():.1f} s")
        identity = server.enter("id", "-u", "-g").stdout or server.enter("id", "-u").stdout
        expect(identity.strip() == "10001", "it is not root")
        expect(server.enter("touch", "/opt/glossd/x").returncode != 0, "its root file system is read-only")
        digest = ["glossd", "digest", "-", "--to", "zh", "--endpoint", "127.0.0.1:50051", "--format", "json"]
        started = time.monotonic()
        answer = server.enter(*digest, stdin=ARTICLE)
        expect(
            answer.returncode == 0, "an article is answered" + (f", not {answer.stderr}" if answer.returncode else "")
        )
        say(f"answered in {time.monotonic() - started:.1f} s")
        expect(has_chinese(json.dumps(json.loads(answer.stdout), ensure_ascii=False)), "in Chinese")
        stop_in_mid_answer(server)
        expect(server.process.wait(STOP_SECONDS) == 0, "and ends with status 0")
    finally:
        server.process.kill()
        server.process.wait()


def main() -> None:
    """Build, then try out."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--suite", default="bookworm", help="the Debian release of the base image")
    options.add_argument("--nice", type=int, default=5, help="how far the build steps back for other work")
    options.add_argument("--model", type=Path, help="serve this checkpoint's directory, not the embedded one")
    options.add_argument("--extras", default="", choices=["", "ray"], help="what the image has besides")
    options.add_argument("--only-base", action="store_true", help="make the base image, as far as it is not there")
    options.add_argument("--only-build", action="store_true", help="do not run the server")
    chosen = options.parse_args()
    missing: Sequence[str] = [tool for tool in ("buildah", "debootstrap", "unshare", "ip") if not shutil.which(tool)]
    if missing or os.geteuid():
        raise SystemExit(f"image-test: needs root and {', '.join(missing) or 'its rights'}")
    with tempfile.TemporaryDirectory(prefix="glossd-image-") as directory:
        make_base(Path(directory), chosen.suite)
        if chosen.only_base:
            return
        build(Path(directory), chosen.nice, chosen.extras)
    container = run("buildah", "from", "--pull-never", IMAGE).strip()
    try:
        image = inspect(IMAGE, run("buildah", "mount", container).strip())
        look_at(image)
        if chosen.extras:
            expect("ray" in run(*image.inside("ray", "--version")), "ray is in it")
        if not chosen.only_build:
            try_out(image, chosen.model)
    finally:
        run("buildah", "umount", container)
        run("buildah", "rm", container)
    say("done")


if __name__ == "__main__":
    main()
