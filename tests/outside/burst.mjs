// A client made of the `ws` package that subscribes to all its channels at once. Each is answered once; channels are
// independent of each other, so the answers come in any order.
import { readFileSync } from "node:fs";
import WebSocket from "ws";
import { sign } from "./token.mjs";

const [url, ca, secret, count] = process.argv.slice(2);
const token = sign(secret, { scope: "connect", uid: "burst", channels: { "*": { subscribe: true } } });
const socket = new WebSocket(`${url}?token=${token}`, { ca: readFileSync(ca) });
const fail = (what) => {
  console.error(what);
  process.exit(1);
};
let begun;
let connected = false;
const answered = new Set();
socket.on("open", () => {
  begun = Date.now();
  for (let n = 0; n < count; n++) {
    socket.send(JSON.stringify({ event: "hotsock.subscribe", channel: `channel-${n}` }));
  }
});
socket.on("message", (data) => {
  const frame = JSON.parse(data);
  const expected = connected ? "hotsock.subscribed" : "hotsock.connected";
  if (frame.event !== expected) fail(`${data} in place of ${expected} after ${answered.size} answers`);
  if (!connected) {
    connected = true;
    return;
  }
  if (answered.has(frame.channel)) fail(`a second ${data}`);
  answered.add(frame.channel);
  if (answered.size === Number(count)) {
    console.log(`${count} subscribes in one burst were answered within ${Date.now() - begun} ms`);
    process.exit(0);
  }
});
socket.on("close", (code) => fail(`closed with ${code} after ${answered.size} answers`));
socket.on("error", (error) => fail(error.message));
setTimeout(() => fail(`${answered.size} answers in time`), 60_000);
