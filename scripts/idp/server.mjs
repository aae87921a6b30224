// A real OpenID provider for the demo and the end-to-end tests.
//
//   node server.mjs [PORT]
//
// It listens on 127.0.0.1, prints one line of JSON when it is ready, and serves
// the client credentials grant with resource indicators (RFC 8707): the access
// tokens are RFC 9068 JWTs for the resource that was asked for. Keys and the
// client secret live as long as the process. Environment:
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

const client = {
  client_id: 'ci-runner',
  client_secret: randomBytes(24).toString('base64url'),
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};

async function generateJWK(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig' };
}

// Any https resource is known here, with whatever scopes the client asks for:
// which audiences and scopes are allowed is for the engine's roles to decide.
function resourceServerInfo(ctx, resource) {
  if (!resource.startsWith('https://')) {
    throw new errors.InvalidTarget('the resource must be an https URI');
  }
  return {
    audience: resource,
    scope: ctx.oidc.params.scope ?? '',
    accessTokenFormat: 'jwt',
    accessTokenTTL: tokenTTL,
    jwt: { sign: { alg: tokenAlg } },
  };
}

// The issuer contains the port, so the port has to be known before the provider
// exists.
const server = createServer();
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [client],
  cookies: { keys: [randomBytes(24).toString('base64url')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: { enabled: true, getResourceServerInfo: resourceServerInfo },
  },
  jwks: { keys: [await generateJWK('ES256'), await generateJWK('RS256')] },
  ttl: { ClientCredentials: tokenTTL },
});
server.on('request', provider.callback());

console.log(JSON.stringify({
  issuer,
  client_id: client.client_id,
  client_secret: client.client_secret,
}));
