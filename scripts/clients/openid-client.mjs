// openid-client as an OAuth client of the engine: see protocol.mjs.
import * as client from 'openid-client';
import { grantType, importKey, serve } from './protocol.mjs';

async function authentication({ method, secret, jwk }) {
  switch (method) {
    case 'client_secret_basic': return client.ClientSecretBasic(secret);
    case 'client_secret_post': return client.ClientSecretPost(secret);
    case 'private_key_jwt': return client.PrivateKeyJwt(await importKey(jwk));
    case 'none': return client.None();
    default: throw new Error(`unknown method: ${method}`);
  }
}

await serve(async (input) => {
  const config = await client.discovery(
    new URL(input.issuer), input.client_id, undefined, await authentication(input), { algorithm: input.algorithm },
  );
  const options = input.dpop
    ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) }
    : {};
  let { token } = input;
  return {
    metadata: config.serverMetadata(),
    does: {
      exchange: async () => {
        const answer = await client.genericGrantRequest(config, grantType, new URLSearchParams(input.parameters), options);
        token = answer.access_token;
        return answer;
      },
      introspect: () => client.tokenIntrospection(config, token),
      revoke: () => client.tokenRevocation(config, token),
    },
  };
});
