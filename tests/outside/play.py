"""Plays the dialogue with clients from outside the project, through a kill, and checks what a webhook's receiver gets. Then
one of them subscribes to all its channels at once."""

import json
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rollcall import PATIENCE, TOKEN_SECRET, WEBHOOK_SECRET, Lines, Server
from standardwebhooks.webhooks import Webhook

HERE = pathlib.Path(__file__).parent
binary, node = sys.argv[1:]


class Client:
    """A client process."""

    def __init__(self, command, server, uid):
        url = f"wss://localhost:{server.port}/v1?token={server.token(uid)}"
        self.process = subprocess.Popen(
            [*command, url, str(server.ca)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines = Lines(self.process.stdout)
        self.uid = uid
        first = json.loads(self.lines.next())
        assert first["event"] == "hotsock.connected", first
        assert first["meta"] == {"uid": uid, "umd": None}, first

    def send(self, frame):
        self.process.stdin.write(frame + "\n")
        self.process.stdin.flush()

    def expect(self, frame):
        line = self.lines.next()
        assert line == frame, f"{self.uid} got\n  {line}\nand not\n  {frame}"

    def expect_silence(self):
        self.send('{"event":"hotsock.ping"}')
        self.expect('{"event":"hotsock.pong","data":{}}')


def members(*uids):
    return "[" + ",".join(f'{{"uid":"{uid}","umd":null}}' for uid in uids) + "]"


def subscribed(uid, *uids):
    return (
        f'{{"event":"hotsock.subscribed","channel":"presence.live-chat","data":{{"members":{members(*uids)}}},'
        f'"meta":{{"uid":"{uid}","umd":null}}}}'
    )


def changed(event, uid, *uids):
    return (
        f'{{"event":"hotsock.{event}","channel":"presence.live-chat","data":{{"member":{{"uid":"{uid}","umd":null}},'
        f'"members":{members(*uids)}}}}}'
    )


SUBSCRIBE = '{"event":"hotsock.subscribe", "channel":"presence.live-chat"}'
UNSUBSCRIBE = '{"event":"hotsock.unsubscribe", "channel":"presence.live-chat"}'


def play(server, jims, dwights):
    jim = Client(jims, server, "Jim")
    jim.send(SUBSCRIBE)
    jim.expect(subscribed("Jim", "Jim"))
    dwight = Client(dwights, server, "Dwight")
    dwight.send(SUBSCRIBE)
    dwight.expect(subscribed("Dwight", "Jim", "Dwight"))
    jim.expect(changed("memberAdded", "Dwight", "Jim", "Dwight"))

    server.stop(signal.SIGKILL)
    assert jim.lines.next().startswith("close "), "the client notices"
    assert dwight.lines.next().startswith("close ")
    server.start()

    # Both come back, and neither of them sees anything of the kill.
    dwight = Client(dwights, server, "Dwight")
    dwight.send(SUBSCRIBE)
    dwight.expect(subscribed("Dwight", "Jim", "Dwight"))
    jim = Client(jims, server, "Jim")
    jim.send(SUBSCRIBE)
    jim.expect(subscribed("Jim", "Jim", "Dwight"))
    jim.expect_silence()
    dwight.expect_silence()

    dwight.send(UNSUBSCRIBE)
    dwight.expect('{"event":"hotsock.unsubscribed","channel":"presence.live-chat","data":{}}')
    jim.expect(changed("memberRemoved", "Dwight", "Jim"))
    jim.send(UNSUBSCRIBE)
    jim.expect('{"event":"hotsock.unsubscribed","channel":"presence.live-chat","data":{}}')
    dwight.expect_silence()
    server.stop(signal.SIGTERM)
    jim.expect("close 1001")
    dwight.expect("close 1001")
    server.start()


class Receiver(BaseHTTPRequestHandler):
    """Takes what the `standardwebhooks` package says is ours."""

    protocol_version = "HTTP/1.1"
    events = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(WEBHOOK_SECRET).verify(body, dict(self.headers))
        except Exception as error:
            event = {"type": f"refused: {error!r}"}
        self.events.put((self.headers["webhook-id"], event))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    """A server that is killed breaks its connections off; that is no news here."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def burst(channels, settings):
    """All subscribes at once, as the JavaScript client sends them: all are answered."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, folder, settings)
        try:
            url = f"wss://localhost:{server.port}/v1"
            command = ["node", f"{node}/burst.mjs", url, str(server.ca), TOKEN_SECRET, str(channels)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=4 * PATIENCE)
            print(f"outside: {done.stdout.strip()}")
        finally:
            server.stop()


def main():
    receiver = Quiet(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    python, ws = [sys.executable, str(HERE / "client.py")], ["node", f"{node}/client.mjs"]
    with tempfile.TemporaryDirectory() as folder:
        webhook = f"""
[[events.webhooks]]
name = "app"
url = "http://127.0.0.1:{receiver.server_port}/hooks"
secret = "{WEBHOOK_SECRET}"
"""
        server = Server(binary, folder, more=webhook)
        try:
            for jims, dwights in [(python, ws), (ws, python)]:
                play(server, jims, dwights)
                print(f"outside: the dialogue by {jims[0].split('/')[-1]} and {dwights[0].split('/')[-1]} is as it should be")
            counts = {}
            seen = set()
            while counts.get("hotsock.memberRemoved", 0) < 4:
                name, event = Receiver.events.get(timeout=PATIENCE)
                assert event["type"].startswith("hotsock."), event
                if name not in seen:
                    seen.add(name)
                    counts[event["type"]] = counts.get(event["type"], 0) + 1
            assert counts["hotsock.memberAdded"] == 4, counts
            print(f"outside: the receiver has verified {len(seen)} events: {counts}")
        finally:
            server.stop()
    burst(1_000, {})
    burst(1_200, {"connection": "max_subscriptions = 2000"})


main()
