"""Data sets fetched from a server of our own that breaks off, lies, refuses, or is slow."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from millrace.data import download, folder
from millrace.data.download import Download
from millrace.data.folder import PUBLISHED, Published, data_folder, files
from millrace.data.unpacking import unpack
from millrace.ir.errors import FileError

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """What it serves, how it behaves, and what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = {"/a.bin": CONTENT}
        self.ranges, self.lengths = True, True
        self.breaks = []  # after how many bytes each of the next transfers breaks off
        self.answers = []  # codes that the next requests get
        self.pause = 0.0  # before each 64 KiB
        self.asked = []  # path and Range of each request
        self.sent = 0  # bytes

    def handle_error(self, request, client_address):
        pass  # we were cut off, as intended

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.answers:
            self.send_error(server.answers.pop(0))
            return
        if self.path not in server.content:
            self.send_error(404)
            return
        content, start = server.content[self.path], 0
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + server.breaks.pop(0) if server.breaks else len(content)
        for at in range(start, min(stop, len(content)), 65536):
            time.sleep(server.pause)
            server.sent += self.wfile.write(content[at : min(at + 65536, stop)])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Make `made_up` a data set of some files, each from the server, in a fresh MILLRACE_DATA."""
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MILLRACE_OFFLINE", "0")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0.001)

    def add(*downloads, at="made_up"):
        names = tuple(name for one in downloads for name in one.gives)
        monkeypatch.setitem(PUBLISHED, "made_up", Published(at, names, "somebody, 1999", downloads))
        return tmp_path / "data" / at

    return add


def plain(server, name="a.bin", content=CONTENT):
    server.content[f"/{name}"] = content
    return Download(f"{server.url}/{name}", len(content), "md5:" + hashlib.md5(content).hexdigest(), (name,))


def archive(server, entries, inside="top", gives=None, name="a.tar.gz"):
    content = tar_of(entries)
    server.content[f"/{name}"] = content
    digits = hashlib.sha256(content).hexdigest()
    return Download(f"{server.url}/{name}", len(content), f"sha256:{digits}", gives or ("x.bin",), inside)


def tar_of(entries):
    """A .tar.gz of names and contents; an entry may be a TarInfo too."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def hidden(where):
    return sorted(path.name for path in where.iterdir() if path.name.startswith(".") and path.name != ".download.lock")


def test_a_data_set_that_is_lacking_is_downloaded_once_and_says_so(server, publish, capsys):
    where = publish(plain(server), plain(server, "b.bin", b"two"))
    assert [path.read_bytes() for path in files("made_up")] == [CONTENT, b"two"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"made_up: downloading 1.0 MB from {server.url}/ (2 files) into {where}"
    files("made_up")
    assert len(server.asked) == 2 and hidden(where) == []
    assert capsys.readouterr().err == ""


def test_what_is_there_is_left_alone(server, publish):
    where = publish(plain(server), plain(server, "b.bin.gz", b"two"))
    where.mkdir(parents=True)
    (where / "b.bin").write_bytes(b"mine, unpacked")
    assert [path.name for path in files("made_up")] == ["a.bin", "b.bin"]
    assert server.asked == [("/a.bin", None)]


def test_an_interrupted_transfer_goes_on_where_it_stopped(server, publish):
    publish(plain(server))
    server.breaks = [300_000, 400_000]
    assert files("made_up")[0].read_bytes() == CONTENT
    assert server.asked == [("/a.bin", None), ("/a.bin", "bytes=300000-"), ("/a.bin", "bytes=700000-")]


def test_the_next_attempt_goes_on_too(server, publish):
    where = publish(plain(server))
    server.breaks = [500_000, 0, 0, 0, 0]
    with pytest.raises(FileError, match=r"closed after 500,000 of 1,048,576 bytes, 4 times in a row. What arrived"):
        files("made_up")
    assert (where / ".a.bin.partial").stat().st_size == 500_000 and not (where / "a.bin").exists()
    server.asked.clear()
    assert files("made_up")[0].read_bytes() == CONTENT
    assert server.asked == [("/a.bin", "bytes=500000-")] and hidden(where) == []


def test_a_server_without_range_starts_anew(server, publish):
    publish(plain(server))
    server.ranges, server.breaks = False, [300_000]
    assert files("made_up")[0].read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_server_that_does_not_say_how_long_the_file_is(server, publish):
    publish(plain(server))
    server.lengths = False
    assert files("made_up")[0].read_bytes() == CONTENT


def test_a_whole_file_that_was_not_put_in_place_yet_needs_no_server(server, publish):
    where = publish(plain(server))
    where.mkdir(parents=True)
    (where / ".a.bin.partial").write_bytes(CONTENT)
    assert files("made_up")[0].read_bytes() == CONTENT and server.asked == []


@pytest.mark.parametrize("left", [b"something else", b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
def test_what_an_earlier_attempt_left_is_given_up_where_it_does_not_fit(server, publish, left):
    where = publish(plain(server))
    where.mkdir(parents=True)
    (where / ".a.bin.partial").write_bytes(left)
    assert files("made_up")[0].read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", CONTENT[:-1] + b"!", CONTENT + b"more"])
def test_other_bytes_than_were_published_are_refused(server, publish, content):
    where = publish(plain(server))
    server.content["/a.bin"] = content
    with pytest.raises(FileError, match=r"gave other bytes than were published.*Put a.bin into .*somebody, 1999"):
        files("made_up")
    assert list(where.glob("*.bin")) == [] and hidden(where) == []


def test_an_endless_file_is_cut_off(server, publish):
    publish(plain(server, content=b"abc"))
    server.content["/a.bin"] = CONTENT * 64
    with pytest.raises(FileError, match="other bytes"):
        files("made_up")
    assert server.sent < 32 * len(CONTENT)  # what the connection holds on its way


def test_a_server_that_refuses(server, publish):
    where = publish(plain(server))
    server.answers = [403]
    with pytest.raises(FileError, match=r"lacks a.bin in .*the server answers 403 Forbidden.*Put a.bin into"):
        files("made_up")
    assert len(server.asked) == 1 and hidden(where) == []
    del server.content["/a.bin"]
    with pytest.raises(FileError, match="404 Not Found"):
        files("made_up")


def test_a_server_that_is_busy_for_a_moment(server, publish):
    publish(plain(server))
    server.answers = [503, 429, 500]
    (path,) = files("made_up")
    assert path.read_bytes() == CONTENT
    path.unlink()
    server.answers = [503] * 10
    with pytest.raises(FileError, match="503 Service Unavailable, 4 times in a row"):
        files("made_up")


def test_a_server_that_falls_silent(server, publish, monkeypatch):
    publish(plain(server))
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    server.pause = 1.0
    started = time.monotonic()
    with pytest.raises(FileError, match=r"it says nothing for 0.1 s, 4 times in a row"):
        files("made_up")
    assert time.monotonic() - started < 5


def test_without_a_connection_the_error_says_what_to_put_where(publish):
    where = publish(Download("http://127.0.0.1:9/a.bin", 3, "md5:" + hashlib.md5(b"abc").hexdigest(), ("a.bin",)))
    with pytest.raises(FileError, match=rf"it cannot be reached: .*refused\. Put a.bin into {where}, as published"):
        files("made_up")


def test_offline_nothing_is_tried(server, publish, monkeypatch):
    publish(plain(server))
    monkeypatch.setenv("MILLRACE_OFFLINE", "1")
    with pytest.raises(FileError, match=r"Nothing was downloaded: MILLRACE_OFFLINE is set. Put a.bin"):
        files("made_up")
    assert server.asked == []


def test_a_folder_that_cannot_be_written(server, publish):
    where = publish(plain(server))
    where.parent.mkdir()
    where.write_bytes(b"a file where the folder should be")
    with pytest.raises(FileError, match=r"lacks a.bin.*cannot be written.*Put a.bin into"):
        files("made_up")


def test_a_disk_that_is_too_small(server, publish, monkeypatch):
    publish(plain(server))
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(FileError, match=r"0.0 MB left, the files take 1.0 MB: free some space"):
        files("made_up")
    assert server.asked == []


def test_where_no_folder_is_named_the_cache_is_used(server, publish, monkeypatch, tmp_path):
    publish(plain(server))
    monkeypatch.delenv("MILLRACE_DATA")
    monkeypatch.setenv("MILLRACE_CACHE", str(tmp_path / "cache"))
    assert files("made_up") == (tmp_path / "cache" / "data" / "made_up" / "a.bin",)
    monkeypatch.delenv("MILLRACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data_folder() == tmp_path / "xdg" / "millrace" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".cache" / "millrace" / "data"
    monkeypatch.setattr(folder.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert data_folder() == tmp_path / "local" / "millrace" / "data"


def test_two_processes_at_once_download_one_copy(server, publish, tmp_path):
    one = plain(server)
    where = publish(one)
    server.pause = 0.02
    script = (
        "from millrace.data.folder import *; from millrace.data.download import Download\n"
        f"PUBLISHED['made_up'] = Published('made_up', ('a.bin',), 'somebody', ({one!r},))\n"
        "print(len(files('made_up')[0].read_bytes()))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    out = [run.communicate(timeout=60) for run in runs]
    assert [text for text, _ in out] == [f"{len(CONTENT)}\n"] * 2, out
    assert len(server.asked) == 1 and (where / "a.bin").read_bytes() == CONTENT
    assert sum("another process is downloading it; waiting" in errors for _, errors in out) == 1


def test_a_download_that_was_killed_leaves_no_lock(server, publish):
    one = plain(server)
    where = publish(one)
    server.pause = 0.05
    script = (
        "from millrace.data.folder import *; from millrace.data.download import Download\n"
        f"PUBLISHED['made_up'] = Published('made_up', ('a.bin',), 'somebody', ({one!r},))\n"
        "files('made_up')"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    partial = where / ".a.bin.partial"
    for _ in range(1000):
        if partial.exists() and partial.stat().st_size:
            break
        time.sleep(0.01)
    run.kill()
    run.wait()
    server.pause = 0
    assert files("made_up")[0].read_bytes() == CONTENT
    assert server.asked[-1][1] is not None  # it went on


def test_an_archive_is_unpacked_into_its_place(server, publish):
    entries = [("top/x.bin", b"one"), ("top/deep/y/z.bin", b"two"), ("top/rest.txt", b"-"), ("other/x.bin", b"-")]
    where = publish(archive(server, entries, gives=("x.bin", "deep/")), at="set/inner")
    assert files("made_up") == (where / "x.bin", where / "deep/")
    assert (where / "x.bin").read_bytes() == b"one" and (where / "deep/y/z.bin").read_bytes() == b"two"
    assert sorted(path.name for path in where.iterdir()) == [".download.lock", "deep", "x.bin"]


def test_of_an_archive_what_is_there_is_left_alone(server, publish):
    where = publish(archive(server, [("top/x.bin", b"one"), ("top/d/y", b"two")], gives=("x.bin", "d/")))
    (where / "d").mkdir(parents=True)  # empty, so it lacks too
    (where / "x.bin").write_bytes(b"mine")
    files("made_up")
    assert (where / "x.bin").read_bytes() == b"mine" and (where / "d/y").read_bytes() == b"two"


def test_an_archive_that_lacks_what_it_should_hold(server, publish):
    where = publish(archive(server, [("top/other.bin", b"one")]))
    with pytest.raises(FileError, match=r"a.tar.gz.* does not hold x.bin"):
        files("made_up")
    assert list(where.glob("*.bin")) == [] and not (where / ".unpacked").exists()


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("../outside", "leads out of it"),
        ("top/../../outside", "leads out of it"),
        ("/tmp/outside", "leads out of it"),
        ("top\\..\\outside", "leads out of it"),
        ("c:/outside", "leads out of it"),
        (link("top/x.bin", "/etc/passwd"), "is a link"),
        (link("top/d", ".."), "is a link"),
        (link("top/x.bin", "../../outside", tarfile.LNKTYPE), "is a link"),
        (link("top/pipe", "", tarfile.FIFOTYPE), "is a link or a device"),
    ],
)
def test_nothing_is_unpacked_outside(tmp_path, entry, why):
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(tar_of([("top/first", b"1"), (entry, b""), ("top/x.bin", b"2")]))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(FileError, match=why):
        unpack(packed, tmp_path / "into", "top", ("x.bin",))
    assert {path for path in tmp_path.rglob("*") if path not in before} <= {tmp_path / "into"}
    assert not os.path.lexists("/tmp/outside")


def test_a_zip_is_unpacked_as_safely(tmp_path):
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("top/x.bin", b"one")
        made.writestr("top/d/", b"")
        made.writestr("top/d/y", b"two")
    unpack(packed, tmp_path / "into", "top", ("x.bin", "d/"))
    assert (tmp_path / "into/x.bin").read_bytes() == b"one" and (tmp_path / "into/d/y").read_bytes() == b"two"
    for name, mode, why in (("top/../../x", 0o100644, "leads out"), ("top/x.bin", 0o120777, "is a link")):
        with zipfile.ZipFile(packed, "w") as made:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, b"/etc/passwd")
        with pytest.raises(FileError, match=why):
            unpack(packed, tmp_path / "other", "top", ("x.bin",))
        assert not (tmp_path / "x").exists() and not (tmp_path / "other").exists()


@pytest.mark.parametrize("cut", [slice(None, 60), slice(None, -30), slice(0, 0)])
def test_a_damaged_archive(tmp_path, cut):
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(tar_of([("top/x.bin", os.urandom(100_000))])[cut])
    with pytest.raises(FileError, match="damaged archive"):
        unpack(packed, tmp_path / "into", "top", ("x.bin",))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "tinyshakespeare", "rt_polarity"])
def test_the_checksums_are_those_of_the_real_files(real_data, name):
    """The copies at hand are the published ones, so what would be downloaded is what is at hand."""
    where, known = real_data(name), PUBLISHED[name]
    for one in known.downloads:
        content = (where / one.gives[0]).read_bytes()
        kind, _, digits = one.checksum.partition(":")
        assert (len(content), hashlib.new(kind, content).hexdigest()) == (one.size, digits)


def test_every_file_of_a_data_set_comes_from_somewhere():
    for name, known in PUBLISHED.items():
        given = [file for one in known.downloads for file in one.gives]
        assert sorted(given) == sorted(known.files), name
        for one in known.downloads:
            kind, _, digits = one.checksum.partition(":")
            assert one.url.startswith("https://") and len(digits) == {"md5": 32, "sha256": 64}[kind]
