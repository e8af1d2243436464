// Tokens, as a back end would sign them.
import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export function sign(secret, claims) {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const message = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp, ...claims })}`;
  return `${message}.${createHmac("sha256", secret).update(message).digest("base64url")}`;
}
