// A real OpenID provider for the demo and the end-to-end tests.
//
//   node server.mjs [PORT]
//
// It listens on 127.0.0.1, prints one line of JSON when it is ready, and serves
// the client credentials grant with resource indicators (RFC 8707): the access
// tokens are RFC 9068 JWTs for the resource that was asked for. Keys and the
// client secrets live as long as the process.
//
// Beside the client ci-runner, which the line of JSON names, it has those of its
// member "clients": portal gets tokens of its users, who log in with the grant
// "password" and whatever name they say; legacy gets opaque tokens, for itself and
// for users; engine may ask about those (RFC 7662). Environment:
//
//   IDP_TOKEN_TTL  seconds that an access token lives (600)
//   IDP_TOKEN_ALG  its signature, ES256 or RS256 (ES256)
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { errors } from 'oidc-provider';

const tokenTTL = Number(process.env.IDP_TOKEN_TTL ?? 600);
const tokenAlg = process.env.IDP_TOKEN_ALG ?? 'ES256';

function newClient(id, ...grants) {
  return {
    client_id: id,
    client_secret: randomBytes(24).toString('base64url'),
    grant_types: grants,
    redirect_uris: [],
    response_types: [],
  };
}

const client = newClient('ci-runner', 'client_credentials');
const others = [
  newClient('portal', 'password'),
  newClient('legacy', 'client_credentials', 'password'),
  newClient('engine'),
];

async function generateJWK(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig' };
}

// Any https resource is known here, with whatever scopes the client asks for:
// which audiences and scopes are allowed is for the engine's roles to decide.
function resourceServerInfo(ctx, resource, { clientId }) {
  if (!resource.startsWith('https://')) {
    throw new errors.InvalidTarget('the resource must be an https URI');
  }
  return {
    audience: resource,
    scope: ctx.oidc.params.scope ?? '',
    accessTokenTTL: tokenTTL,
    ...(clientId === 'legacy'
      ? { accessTokenFormat: 'opaque' }
      : { accessTokenFormat: 'jwt', jwt: { sign: { alg: tokenAlg } } }),
  };
}

// A real provider would show its users a form. These need no password: what the
// tests are about begins with the token.
async function passwordGrant(ctx) {
  const { client: by, params } = ctx.oidc;
  const token = new provider.AccessToken({
    accountId: params.username, client: by, gty: 'password', scope: params.scope,
  });
  if (params.resource) {
    token.resourceServer = new provider.ResourceServer(params.resource, resourceServerInfo(ctx, params.resource, by));
  }
  ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: token.expiration };
}

// The issuer contains the port, so the port has to be known before the provider
// exists.
const server = createServer();
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [client, ...others],
  cookies: { keys: [randomBytes(24).toString('base64url')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: (ctx, by) => by.clientId === 'engine' },
    resourceIndicators: { enabled: true, getResourceServerInfo: resourceServerInfo },
    revocation: { enabled: true, allowedPolicy: (ctx, by, token) => by.clientId === token.clientId },
  },
  jwks: { keys: [await generateJWK('ES256'), await generateJWK('RS256')] },
  ttl: { AccessToken: tokenTTL, ClientCredentials: tokenTTL },
});
provider.registerGrantType('password', passwordGrant, ['username', 'scope', 'resource']);
server.on('request', provider.callback());

console.log(JSON.stringify({
  issuer,
  client_id: client.client_id,
  client_secret: client.client_secret,
  clients: Object.fromEntries(others.map((c) => [c.client_id, c.client_secret])),
}));
