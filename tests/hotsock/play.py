"""Runs the scenes of scenes.mjs, each against a server of its own, which it kills and starts again where a scene asks for it."""

import subprocess
import sys
import tempfile
import threading

from rollcall import PATIENCE, TOKEN_SECRET, Server

binary, node = sys.argv[1:]
SCENES = {
    "burst 1000": {},
    "burst 1200": {"connection": "max_subscriptions = 2000"},
    "restart": {},
    "subscribeTokens": {},
    "aliases": {},
    "heartbeats": {},
    "publish": {},
    "unbind": {},
    "suspend": {},
}


def play(scene, settings):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, folder, settings)
        url = f"wss://localhost:{server.port}/v1"
        process = subprocess.Popen(
            ["node", f"{node}/scenes.mjs", url, str(server.ca), TOKEN_SECRET, *scene.split()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        too_long = threading.Timer(4 * PATIENCE, process.kill)
        too_long.start()
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if line == "restart\n":
                    server.stop()
                    server.start()
                    process.stdin.write("started\n")
                    process.stdin.flush()
            if process.wait() != 0:
                print(f"hotsock: {scene}: FAILED\n" + "".join(said))
                return False
            print(f"hotsock: {scene}: {said[-1].strip()}", flush=True)
            return True
        finally:
            too_long.cancel()
            if process.poll() is None:
                process.kill()
            server.stop()


failed = [scene for scene, settings in SCENES.items() if not play(scene, settings)]
sys.exit(f"hotsock: FAILED: {', '.join(failed)}" if failed else 0)
