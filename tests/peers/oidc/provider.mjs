// A certified OpenID provider as the retailer's: `node provider.mjs config.json`. POST /control/rotate signs with the
// next of the configured keys; the older ones stay published.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const { issuer, port, keys, clients, audience } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const FORMATS = {
  "urn:jwt": { audience, accessTokenFormat: "jwt" },
  "urn:opaque": { audience, accessTokenFormat: "opaque" },
  "urn:elsewhere": { audience: "https://elsewhere.example", accessTokenFormat: "jwt" },
};

let signing = 0;
function provider() {
  const made = new Provider(issuer, {
    clients,
    // the first key that fits signs
    jwks: { keys: keys.slice(0, signing + 1).reverse() },
    scopes: ["customers:read", "customers:write", "decisions", "audit:read"],
    features: {
      devInteractions: { enabled: true } /* a login form that takes any name */,
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: "customers:read customers:write decisions audit:read",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "ES256" } },
          ...FORMATS[resource],
        }),
      },
    },
  });
  return made.callback();
}

let answer = provider();
createServer((request, response) => {
  if (request.method === "POST" && request.url === "/control/rotate") {
    signing += 1;
    answer = provider();
    response.end();
    return;
  }
  answer(request, response);
}).listen(port, "127.0.0.1", () => console.log("ready"));
