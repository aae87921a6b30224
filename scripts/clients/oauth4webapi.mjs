// oauth4webapi as an OAuth client of the engine and as a resource server for its
// tokens: see protocol.mjs.
import * as oauth from 'oauth4webapi';
import { grantType, importKey, serve } from './protocol.mjs';

async function authentication({ method, secret, jwk }) {
  switch (method) {
    case 'client_secret_basic': return oauth.ClientSecretBasic(secret);
    case 'client_secret_post': return oauth.ClientSecretPost(secret);
    case 'private_key_jwt': return oauth.PrivateKeyJwt(await importKey(jwk));
    case 'none': return oauth.None();
    default: throw new Error(`unknown method: ${method}`);
  }
}

async function discover({ issuer, algorithm }) {
  const url = new URL(issuer);
  return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm }));
}

// The request that the client makes to the resource server comes to it as it is.
async function validate(server, token, audience, options) {
  let claims;
  await oauth.protectedResourceRequest(token, 'GET', new URL('https://resource.example/'), undefined, undefined, {
    ...options,
    [oauth.customFetch]: async (url, { method, headers }) => {
      claims = await oauth.validateJwtAccessToken(server, new Request(url, { method, headers }), audience, {
        requireDPoP: Boolean(options.DPoP),
      });
      return new Response();
    },
  });
  return claims;
}

await serve(async (input) => {
  const server = await discover(input);
  const client = { client_id: input.client_id };
  const auth = input.method && await authentication(input);
  const options = input.dpop ? { DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) } : {};
  let { token } = input;
  const does = {
    exchange: async () => {
      const request = () => oauth.genericTokenEndpointRequest(
        server, client, auth, grantType, new URLSearchParams(input.parameters), options,
      );
      const process = (response) => oauth.processGenericTokenEndpointResponse(server, client, response);
      // With DPoP the first answer may be nothing but a nonce (RFC 9449 §8).
      const answer = await process(await request()).catch(async (error) => {
        if (!oauth.isDPoPNonceError(error)) {
          throw error;
        }
        return process(await request());
      });
      token = answer.access_token;
      return answer;
    },
    validate: () => validate(server, token, input.audience, options),
    introspect: async () => oauth.processIntrospectionResponse(
      server, client, await oauth.introspectionRequest(server, client, auth, token),
    ),
    revoke: async () => oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, token)),
  };
  return { metadata: server, does };
});
