// The protocol of the clients here, so that a test can ask each of them the same.
//
// A client reads one JSON object from its standard input, where no secret is seen
// in a list of processes, and prints one line of JSON:
//
//   in   issuer, algorithm   where discovery begins: "oauth2" (RFC 8414) or "oidc"
//        client_id, method   the client, and how it authenticates itself
//        secret, jwk         what it does that with
//        dpop                whether it proves possession of a key (RFC 9449)
//        parameters          those of the exchange, as [name, value] pairs
//        token               the token that "validate", "introspect" and "revoke" are
//                            about, until "exchange" has got another
//        audience            the resource server that "validate" is
//        steps               what to do, in this order: exchange, validate,
//                            introspect, revoke
//   out  metadata, steps     what was discovered; of each step { do, ok, result } or
//                            { do, error: { name, code, message, status, error,
//                            error_description } }; after an error no other is done
//
// It ends with 0 if it could print the line, whatever the steps have come to.
export const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';

async function readInput() {
  let text = '';
  for await (const chunk of process.stdin) {
    text += chunk;
  }
  return JSON.parse(text);
}

// A message of the library may be about a token, but has none; its cause may.
function describe({ name, code, message, status, error, error_description }) {
  return { name, code, message, status, error, error_description };
}

// The key of private_key_jwt, as Web Crypto has it.
export async function importKey(jwk) {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  return { key: await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']), kid: jwk.kid };
}

// serve calls discover(input), which returns { metadata, does }: a function for
// each step that the client knows.
export async function serve(discover) {
  const input = await readInput();
  const steps = [];
  let metadata;
  let doing = 'discover';
  try {
    const client = await discover(input);
    ({ metadata } = client);
    for (doing of input.steps) {
      steps.push({ do: doing, ok: true, result: await client.does[doing]() });
    }
  } catch (error) {
    steps.push({ do: doing, error: describe(error) });
  }
  console.log(JSON.stringify({ metadata, steps }));
}
