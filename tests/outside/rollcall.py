"""The real binary, for programs from outside the project to talk to."""

import base64
import pathlib
import queue
import re
import signal
import socket
import subprocess
import threading

PATIENCE = 30
WEBHOOK_SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# What programs that sign tokens themselves sign them with.
TOKEN_SECRET = "a secret that only the tests know and use, by HS256"


class Lines:
    """The lines of a process, as they come."""

    def __init__(self, stream):
        self.queue = queue.Queue()
        self.seen = []
        threading.Thread(target=self.follow, args=(stream,), daemon=True).start()

    def follow(self, stream):
        for line in stream:
            self.seen.append(line)
            self.queue.put(line.rstrip("\n"))
        self.queue.put(None)

    def next(self):
        line = self.queue.get(timeout=PATIENCE)
        if line is None:
            raise AssertionError("the process has ended:\n" + "".join(self.seen))
        return line


def free_port():
    """A port that is free now; the server can be started on it again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """The real binary, with a certificate, keys and a database of its own. `settings` are lines by section."""

    def __init__(self, binary, folder, settings=None, more=""):
        self.binary = binary
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.tool("keygen", "--tls", "--host", "localhost", "--out", folder)
        self.tool("keygen", "--algorithm", "ES256", "--out", folder)
        self.ca = self.folder / "cert.pem"
        settings = {"presence": 'boot_grace = "30s"', **(settings or {})}
        sections = "".join(f"[{name}]\n{lines}\n" for name, lines in settings.items())
        secret = base64.b64encode(TOKEN_SECRET.encode()).decode()
        (self.folder / "rollcall.toml").write_text(f"""
listen = ["127.0.0.1:{self.port}"]
data_dir = "{folder}/data"
[tls]
certificate = "{folder}/cert.pem"
private_key = "{folder}/key.pem"
[[auth.keys]]
algorithm = "ES256"
public_key_file = "{folder}/jwt-public.pem"
[[auth.keys]]
algorithm = "HS256"
secret = "{secret}"
[log]
format = "text"
{sections}{more}""")
        self.start()

    def tool(self, *words):
        return subprocess.run([self.binary, *words], check=True, capture_output=True, text=True).stdout.strip()

    def start(self):
        command = [self.binary, "serve", "--config", self.folder / "rollcall.toml"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        log = Lines(self.process.stderr)
        while not re.search(r" ready listen=", log.next()):
            pass

    def token(self, uid):
        return self.tool(
            "token", "--uid", uid, "--subscribe", "presence.*", "--key", f"{self.folder}/jwt-private.pem",
            "--algorithm", "ES256",
        )

    def stop(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
