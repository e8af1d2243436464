// Scenes for Hotsock's own client. Usage: scenes.mjs URL CA SECRET SCENE [ARGUMENT]. Each scene waits for what must come, and
// ends with a line that says what was seen.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import Ws from "ws";
import { HotsockClient } from "./hotsock-js.mjs";
import { sign } from "./token.mjs";

const [url, ca, secret, scene, argument] = process.argv.slice(2);
const authorities = readFileSync(ca);

// The browser's WebSocket, as the client expects it.
globalThis.WebSocket = class extends Ws {
  constructor(target) {
    super(target, { ca: authorities });
  }
};

const started = (async function* () {
  for await (const line of createInterface({ input: process.stdin })) yield line;
})();

/** Waits until `what` is true. */
async function until(what, why, patience = 30_000) {
  const deadline = Date.now() + patience;
  while (!what()) {
    assert(Date.now() < deadline, `not in time: ${why}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A client, and everything that it has heard; errors are fatal, but for those that a scene expects. */
function connect(claims, { expected = [], ...options } = {}) {
  const connectTokenFn = () => sign(secret, { scope: "connect", channels: { "*": { subscribe: true } }, ...claims });
  const client = new HotsockClient(url, { connectTokenFn, logLevel: "error", ...options });
  const heard = [];
  client.bind("@@message", ({ data }) => {
    const frame = JSON.parse(data);
    heard.push(frame);
    if (frame.event === "hotsock.error" && !expected.includes(frame.error.code)) {
      console.log(`an error: ${data}`);
      process.exit(1);
    }
  });
  const state = (channel) => client.activeConnection.channels[channel]?.state;
  const confirmed = (channel) => until(() => state(channel) === "subscribeConfirmed", `subscribed to ${channel}`);
  const opened = () => until(() => client.activeConnection.connectionId, "connected");
  return { client, heard, state, confirmed, opened };
}

const nothing = () => {};
const uids = (members) => members.map(({ uid }) => uid);

const scenes = {
  async burst() {
    const count = Number(argument);
    const { client, heard } = connect({ uid: "Jim" });
    for (let n = 0; n < count; n++) client.bind("e", nothing, { channel: `channel-${n}` });
    const states = () => Object.values(client.activeConnection.channels).map(({ state }) => state);
    const begun = Date.now();
    const all = () => states().filter((state) => state === "subscribeConfirmed").length === count;
    await until(all, `all ${count}`, 60_000).catch((error) => {
      throw new Error(`${error.message}; ${states().filter((state) => state === "subscribeConfirmed").length} are`);
    });
    assert.equal(heard.filter(({ event }) => event === "hotsock.subscribed").length, count);
    return `all ${count} channels subscribed within ${Date.now() - begun} ms`;
  },

  async restart() {
    const [jim, pam] = [connect({ uid: "Jim", umd: { n: 1 } }), connect({ uid: "Pam" })];
    const members = {};
    for (const [name, { client }] of Object.entries({ jim, pam })) {
      members[name] = client.bind("hotsock.memberAdded", nothing, { channel: "presence.room" });
      await until(() => client.activeConnection.channels["presence.room"]?.state === "subscribeConfirmed", name);
    }
    await until(() => members.jim.channel.members.length === 2, "Jim sees Pam");
    const before = [jim, pam].map(({ heard }) => heard.length);
    const connections = [jim, pam].map(({ client }) => client.activeConnection.connectionId);
    const gone = [jim, pam].map(({ client }) => new Promise((resolve) => client.bind("@@disconnect", resolve)));
    console.log("restart");
    await Promise.all(gone);
    await started.next();
    for (const [n, { client, confirmed }] of [jim, pam].entries()) {
      await until(() => client.activeConnection.connectionId, "connected again", 60_000);
      assert.notEqual(client.activeConnection.connectionId, connections[n]);
      await confirmed("presence.room");
    }
    // Whoever comes next is the first that they hear of.
    const dwight = connect({ uid: "Dwight" });
    dwight.client.bind("e", nothing, { channel: "presence.room" });
    await dwight.confirmed("presence.room");
    await until(() => members.jim.channel.members.length === 3 && members.pam.channel.members.length === 3, "Dwight");
    for (const [n, { heard }] of [jim, pam].entries()) {
      const since = heard.slice(before[n]).map(({ event }) => event);
      assert.deepEqual(since, ["hotsock.connected", "hotsock.subscribed", "hotsock.memberAdded"]);
    }
    assert.deepEqual(uids(members.jim.channel.members), ["Jim", "Pam", "Dwight"]);
    return "both came back after a kill, and saw nobody leave or join";
  },

  async subscribeTokens() {
    const expected = ["INVALID_SUBSCRIBE_TOKEN", "SUBSCRIBE_PERMISSION_DENIED"];
    const { client, confirmed, state } = connect({ uid: "Jim", channels: {} }, { expected });
    const asked = [];
    const channel = client.channels("presence.secret");
    channel.subscribeTokenFn = ({ channel, connectionId }) => {
      asked.push([channel, connectionId]);
      return sign(secret, {
        scope: "subscribe",
        connectionId,
        uid: "James",
        umd: { role: "agent" },
        channels: { [channel]: { subscribe: true } },
      });
    };
    channel.bind("e", nothing);
    await confirmed("presence.secret");
    assert.deepEqual(asked, [["presence.secret", client.activeConnection.connectionId]]);
    assert.deepEqual([channel.uid, channel.umd], ["James", { role: "agent" }]);
    assert.deepEqual(channel.members, [{ uid: "James", umd: { role: "agent" } }]);
    // By uid; for another connection; without a token.
    const tokens = { byUid: { uid: "Jim" }, others: { connectionId: "another" } };
    for (const [name, names] of Object.entries(tokens)) {
      const claims = { scope: "subscribe", channels: { [name]: { subscribe: true } }, ...names };
      client.bind("e", nothing, { channel: name, subscribeTokenFn: () => sign(secret, claims) });
    }
    client.bind("e", nothing, { channel: "none" });
    await confirmed("byUid");
    await until(() => state("others") === "subscribeFailed", "the token of another connection fails");
    await until(() => state("none") === "subscribeFailed", "without a token it fails");
    return "subscribed by tokens that name the connection or the uid, and refused by others";
  },

  async aliases() {
    const channels = { "user.123": { subscribe: true, alias: "user", messages: { say: { publish: true, echo: true } } } };
    const { client } = connect({ uid: "Jim", channels });
    const got = [];
    const binding = client.bind("say", (message) => got.push(message), { channel: "user" });
    await until(() => client.activeConnection.channels["user.123"]?.state === "subscribeConfirmed", "by its alias");
    assert.equal(client.activeConnection.channelAliasToReal.user, "user.123");
    client.sendMessage("say", { channel: "user", data: 1 });
    await until(() => got.length === 1, "what was sent to the alias");
    assert.deepEqual([got[0].channel, got[0].data], ["user.123", 1]);
    binding.unbind();
    await until(() => client.activeConnection.channels["user.123"].state === "unsubscribeConfirmed", "unsubscribed");
    return "subscribed, sent, received and unsubscribed by an alias";
  },

  async heartbeats() {
    const begun = Date.now();
    const alive = connect({ uid: "Jim", heartbeatTimeout: 6 }, { heartbeatIntervalSeconds: 5 });
    const silent = connect({ uid: "Pam", heartbeatTimeout: 6 });
    await Promise.all([alive.opened(), silent.opened()]);
    const connection = alive.client.activeConnection.connectionId;
    const closed = new Promise((resolve) => silent.client.bind("@@disconnect", resolve));
    assert.equal((await closed).code, 1001);
    const took = Date.now() - begun;
    assert(took > 5_500 && took < 15_000, `${took} ms`);
    await until(() => Date.now() > begun + 11_000, "two heartbeats");
    assert.equal(alive.client.activeConnection.connectionId, connection);
    return `one with heartbeats stayed, one without was closed with 1001 after ${took} ms`;
  },

  async publish() {
    const channels = { c: { subscribe: true, messages: { say: { publish: true, echo: true } } } };
    const jim = connect({ uid: "Jim", umd: { a: 1 }, channels }, { expected: ["PUBLISH_PERMISSION_DENIED"] });
    const pam = connect({ uid: "Pam" });
    const got = { jim: [], pam: [] };
    jim.client.bind("say", (message) => got.jim.push(message), { channel: "c" });
    pam.client.bind(/^sa/, (message) => got.pam.push(message), { channel: "c" });
    await Promise.all([jim.confirmed("c"), pam.confirmed("c")]);
    for (let n = 0; n < 100; n++) jim.client.channels("c").sendMessage("say", { data: { n, text: "hello 👋" } });
    await until(() => got.jim.length === 100 && got.pam.length === 100, "a hundred messages");
    assert.deepEqual(got.jim, got.pam);
    for (const [n, { id, ...message }] of got.pam.entries()) {
      const meta = { uid: "Jim", umd: { a: 1 } };
      assert.deepEqual(message, { event: "say", channel: "c", data: { n, text: "hello 👋" }, meta });
      assert(n === 0 || id > got.pam[n - 1].id);
    }
    jim.client.sendMessage("other", { channel: "c" });
    const refused = () => jim.heard.find(({ event }) => event === "hotsock.error");
    await until(refused, "what it may not send is refused");
    assert.equal(refused().channel, "c");
    jim.client.sendRawMessage('{"event":"hotsock.ping"}');
    await until(() => jim.heard.at(-1).event === "hotsock.pong", "a pong");
    return "a hundred messages reached both in order";
  },

  async unbind() {
    const { client, state, confirmed, heard } = connect({ uid: "Jim" });
    const first = client.bind("a", nothing, { channel: "presence.c" });
    const second = client.bind("b", nothing, { channel: "presence.c" });
    await confirmed("presence.c");
    first.unbind();
    assert.equal(state("presence.c"), "subscribeConfirmed");
    second.unbind();
    await until(() => state("presence.c") === "unsubscribeConfirmed", "unsubscribed");
    assert.deepEqual(client.channels("presence.c").members, []);
    // Bound again before the answer has come, and after it.
    const third = client.bind("a", nothing, { channel: "presence.c" });
    await confirmed("presence.c");
    third.unbind();
    client.bind("a", nothing, { channel: "presence.c" });
    await until(() => heard.filter(({ event }) => event === "hotsock.subscribed").length === 3, "three times");
    await confirmed("presence.c");
    assert.deepEqual(uids(client.channels("presence.c").members), ["Jim"]);
    return "unsubscribed with the last binding, and subscribed again";
  },

  async suspend() {
    const { client, confirmed, heard } = connect({ uid: "Jim" });
    const pam = connect({ uid: "Pam" });
    client.bind("e", nothing, { channel: "presence.c" });
    await confirmed("presence.c");
    pam.client.bind("e", nothing, { channel: "presence.c" });
    await pam.confirmed("presence.c");
    client.suspend();
    await until(() => pam.heard.at(-1).event === "hotsock.memberRemoved", "Jim is gone");
    client.resume();
    await until(() => pam.heard.at(-1).event === "hotsock.memberAdded", "Jim is back");
    await confirmed("presence.c");
    client.terminate();
    await until(() => pam.heard.at(-1).event === "hotsock.memberRemoved", "Jim is gone for good");
    assert.deepEqual(uids(pam.client.channels("presence.c").members), ["Pam"]);
    assert.equal(heard.filter(({ event }) => event === "hotsock.connected").length, 2);
    return "suspended, resumed and terminated";
  },
};

try {
  console.log(await scenes[scene]());
  process.exit(0);
} catch (error) {
  console.log(error.stack);
  process.exit(1);
}
