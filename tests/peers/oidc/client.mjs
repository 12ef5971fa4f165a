// An independent OAuth client against our token endpoint: private_key_jwt and DPoP, then one call with the token.
// `node client.mjs config.json` prints what it got as JSON.
import { readFileSync } from "node:fs";
import * as client from "openid-client";

const { issuer, clientId, key, path, body } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { d, kid, ...publicHalf } = key;
const privateKey = await crypto.subtle.importKey("jwk", { ...publicHalf, d }, { name: "ECDSA", namedCurve: "P-256" }, false, [
  "sign",
]);
const config = await client.discovery(
  new URL(issuer),
  clientId,
  undefined,
  client.PrivateKeyJwt({ key: privateKey, kid }),
  { algorithm: "oauth2", execute: [client.allowInsecureRequests] },
);
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
const token = await client.clientCredentialsGrant(config, { scope: "customers:read" }, { DPoP });
const url = new URL(path, issuer);
const headers = new Headers({ "content-type": "application/json" });
const call = (handle) =>
  client.fetchProtectedResource(config, token.access_token, url, "POST", JSON.stringify(body), headers, { DPoP: handle });
const answered = await call(DPoP);
const told = await client.tokenIntrospection(config, token.access_token);
let otherKey = "accepted";
try {
  await call(client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256")));
} catch (error) {
  otherKey = error.code;
}
await client.tokenRevocation(config, token.access_token);
const after = await client.tokenIntrospection(config, token.access_token);
console.log(
  JSON.stringify({
    tokenType: token.token_type,
    scope: token.scope,
    status: answered.status,
    active: told.active,
    bound: Boolean(told.cnf?.jkt),
    otherKey,
    activeAfterRevocation: after.active,
  }),
);
