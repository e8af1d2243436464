// A client made of the `ws` package: lines from stdin are sent, frames are printed one a line.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import WebSocket from "ws";

const [url, ca] = process.argv.slice(2);
const socket = new WebSocket(url, { ca: readFileSync(ca) });
socket.on("message", (data, binary) => console.log(binary ? "binary" : data.toString()));
socket.on("close", (code) => {
  console.log(`close ${code}`);
  process.exit(0);
});
socket.on("error", (error) => console.error(error.message));
createInterface({ input: process.stdin }).on("line", (line) => socket.send(line));
